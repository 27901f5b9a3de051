#!/usr/bin/env node
// An operator's day, as commands: the server of examples/server is built without a runtime,
// retargeted from outside under load, by tools of which some are killed in the middle, refused
// where that is right, retargeted in other namespaces with its file deleted, and at last built with
// a runtime. Prints each command with what it answered, and whether that is as it should be; status
// 1 if anything is not. What needs a tool that is missing says so.
//
//   node scripts/operate.mjs [--kills N]
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { get as httpGet } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as after } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values: flags } = parseArgs({ options: { kills: { type: 'string', default: '100' } } });
const kills = Number(flags.kills);
const here = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'static-call-operate-'));
const file = (name) => join(folder, name);
const CLI = here('bin/static-call');
const SOURCE = here('examples/server/server.c');
const children = new Set();
let bad = 0;

/**
 * What a line of the output is about: paths as short as their names, processes by what they are.
 */
const shown = (words) =>
  words
    .map((word) => (word === CLI ? 'static-call' : word.replaceAll(`${folder}/`, '')))
    .map((word) => (word.startsWith(here('')) ? word.slice(here('').length) : word))
    .filter((word) => word !== process.execPath)
    .join(' ');

function judge(good, what) {
  if (!good) bad++;
  console.log(`  ${good ? 'as it should be' : 'NOT AS IT SHOULD BE'}: ${what}`);
}

const told = (text) => {
  for (const line of text.trim().split('\n')) if (line !== '') console.log(`  ${line}`);
};

/** Runs a command, prints it and what it answered. */
function run(words, what, fits) {
  console.log(`$ ${shown(words)}`);
  const [program, ...rest] = words;
  const { status, stdout, stderr, error } = spawnSync(program, rest, {
    encoding: 'utf8',
    timeout: 120_000,
  });
  const text = `${stdout ?? ''}${stderr ?? ''}${error?.message ?? ''}`;
  told(text);
  judge(fits({ status, text }), what);
  return text;
}
const tool = (...words) => [process.execPath, CLI, ...words];
const missing = (name, ...words) => {
  const { status } = spawnSync(name, words, { stdio: 'ignore' });
  if (status === 0) return false;
  console.log(`# not shown, because ${name} is missing or refused here`);
  return true;
};

async function begin(words) {
  console.log(`$ ${shown(words)} &`);
  const [program, ...rest] = words;
  const child = spawn(program, rest, { stdio: ['pipe', 'pipe', 'inherit'] });
  children.add(child);
  const [line] = await once(child.stdout, 'data');
  told(String(line));
  return { child, pid: child.pid, port: Number(/port (\d+)/.exec(String(line))?.[1]) };
}

/** Load on a server until `stop`, which answers what came of it. */
function load(port) {
  const child = spawn(file('load'), [`${port}`, '2', '100000', 'sum'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.add(child);
  return () => child.kill('SIGKILL');
}
const ask = (port, path) =>
  new Promise((resolve, reject) => {
    httpGet({ port, path }, (answer) => {
      let body = '';
      answer.on('data', (text) => (body += text));
      answer.on('end', () => resolve(body));
    }).on('error', reject);
  });
/** A second of load with every answer held against what it must be. */
function answers(port, seconds) {
  return run([file('load'), `${port}`, '4', `${seconds}`, 'sum'], 'no answer wrong', ({ text }) => {
    const { requests, wrong, dropped } = JSON.parse(text);
    return requests > 0 && wrong === 0 && dropped === 0;
  });
}

async function killed(pid) {
  const words = [process.execPath, here('scripts/operate/sets.mjs'), `${pid}`];
  console.log(`$ ${shown(words)} & kill -9 $!   # ${kills} times`);
  let died = 0;
  for (let n = 0; n < kills; n++) {
    const [program, ...rest] = words;
    const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = once(child, 'exit');
    await Promise.race([once(child.stdout, 'data'), ended]);
    await after((n * 7) % 40);
    child.kill('SIGKILL');
    const [, signal] = await ended;
    if (signal === 'SIGKILL') died++;
  }
  judge(died === kills, `${died} of ${kills} tools were killed while they set`);
}

const threadsOf = (pid) => /Threads:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1];

async function withoutRuntime() {
  const gcc = ['gcc', '-O2', '-Wall'];
  run(tool('cc', '--', ...gcc, SOURCE, '-o', file('server'), '-pthread'), 'it is built', good);
  run([...gcc, here('examples/server/load.c'), '-o', file('load'), '-pthread'], 'so is load', good);
  const { child, pid, port } = await begin([file('server'), '2']);
  run(['ldd', file('server')], 'no Node in it', ({ text }) => !/node|v8/i.test(text));
  const threads = threadsOf(pid);
  const sites = tool('sites', `${pid}`);
  run(sites, 'keys and sites', ({ status, text }) => status === 0 && /route_loop/.test(text));
  if (!missing('strace', '-V')) {
    const strace = ['strace', '-f', '-qq', '-e', 'signal=none', '-e', 'trace=ptrace,kill,tgkill'];
    const stops = ({ text }) => !/ptrace\(|kill\(\d/.test(text);
    run([...strace, ...sites], 'nothing is stopped: no ptrace', stops);
    run([...strace, ...tool('watch', `${pid}`, '--seconds', '1')], 'nor by watch', stops);
  }
  const stop = load(port);
  run(tool('set', `${pid}`, 'route=route_formula'), 'one key, which thread, how long', ({ text }) =>
    /1 key .*route_loop -> route_formula.*, thread \d+ held \d+ us/.test(text),
  );
  answers(port, 1);
  run(
    tool('set', `${pid}`, 'route=route_formula'),
    'unchanged is no failure',
    ({ status, text }) => status === 0 && text.includes('unchanged'),
  );
  await watched(pid);
  await killed(pid);
  run(sites, 'every site whole, none parked', ({ text }) => {
    // Sites, inline, parked, emulated.
    const rows = [...text.matchAll(/ (\d+) +(\d+) +(\d+) +(\d+)$/gm)];
    return rows.length === 3 && rows.every(([, , , parked]) => parked === '0');
  });
  run(tool('set', `${pid}`, 'route=route_loop'), 'the next set goes on', good);
  answers(port, 1);
  stop();
  judge(threadsOf(pid) === threads, `${threads} threads, as before`);
  await refused(pid);
  run(tool('reset', `${pid}`), 'as the file has it', good);
  child.stdin.end();
  await once(child, 'exit');
}
const good = ({ status }) => status === 0;

async function watched(pid) {
  console.log(`$ static-call watch ${pid} --seconds 60 & static-call set ${pid} route=route_table`);
  const watch = spawn(process.execPath, [CLI, 'watch', `${pid}`, '--seconds', '60'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.add(watch);
  await once(watch.stderr, 'data');
  const line = once(watch.stdout, 'data');
  spawnSync(process.execPath, [CLI, 'set', `${pid}`, 'route=route_table']);
  const [text] = await Promise.race([line, after(60_000, [''], { ref: false })]);
  told(String(text));
  judge(/route_formula -> route_table/.test(String(text)), "another operator's set appears");
  watch.kill();
}

async function refused(pid) {
  const sites = tool('sites', `${pid}`);
  if (process.getuid() === 0 && !missing('setpriv', '--version'))
    run(
      ['setpriv', '--reuid=65534', '--clear-groups', ...sites],
      'another user is refused: status 4',
      ({ status, text }) => status === 4 && /not-yours|belongs to user/.test(text),
    );
  if (missing('gdb', '--version')) return;
  console.log(`$ gdb -p ${pid} &`);
  const gdb = spawn('gdb', ['-q', '-nx', '-batch', '-p', `${pid}`, '-ex', 'shell sleep 60'], {
    stdio: 'ignore',
    detached: true,
  });
  children.add(gdb);
  const tracer = () => /TracerPid:\s+([1-9]\d*)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  for (let n = 0; n < 600 && !tracer(); n++) await after(100);
  run(
    tool('set', `${pid}`, 'route=route_table'),
    'the tracer is named',
    ({ status, text }) => status === 4 && text.includes('gdb'),
  );
  process.kill(-gdb.pid, 'SIGTERM');
  await once(gdb, 'exit');
  for (let n = 0; n < 600 && tracer(); n++) await after(100);
  // A debugger that is ended by a signal may leave it stopped.
  console.log(`$ kill -CONT ${pid}`);
  process.kill(pid, 'SIGCONT');
}

/** In other namespaces, with its file deleted. */
async function elsewhere() {
  const away = ['unshare', '--pid', '--mount', '--fork', '--kill-child'];
  if (missing(away[0], ...away.slice(1), 'true')) return;
  const { child, port } = await begin([...away, file('server'), '2']);
  const kids = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8');
  console.log('$ rm server');
  rmSync(file('server'));
  const set = tool('set', kids.trim(), 'route=route_formula');
  run(set, 'it is set', ({ status, text }) => status === 0 && /1 key/.test(text));
  const body = await ask(port, '/sum/10');
  judge(body === 'formula 385', `GET /sum/10 answers ${body}`);
  child.stdin.end();
  await once(child, 'exit');
}

async function linkedOtherwise() {
  if (!missing('musl-gcc', '--version')) {
    const musl = ['musl-gcc', '-O2', '-static', SOURCE, '-o', file('musl'), '-pthread'];
    run(tool('cc', '--', ...musl), 'it is built', good);
    await setOnce(file('musl'));
  }
  if (!missing('rustc', '--version')) {
    run(
      tool('cc', '--', 'gcc', '-O2', '-c', here('scripts/operate/hooks.c'), '-o', file('hooks.o')),
      'the C half of a program in Rust',
      good,
    );
    const rust = ['rustc', '-O', '-C', `link-arg=${file('hooks.o')}`, '-o', file('rust')];
    run([...rust, here('scripts/operate/main.rs')], 'it is built', good);
    await setRust();
  }
}

async function setOnce(program) {
  const { child, pid, port } = await begin([program, '2']);
  run(tool('set', `${pid}`, 'route=route_formula'), 'it is set', good);
  const body = await ask(port, '/sum/10');
  judge(body === 'formula 385', `GET /sum/10 answers ${body}`);
  child.stdin.end();
  await once(child, 'exit');
}

async function setRust() {
  const { child, pid } = await begin([file('rust')]);
  run(tool('set', `${pid}`, 'step=step_up'), 'it is set', good);
  const exited = once(child, 'exit');
  child.stdin.end('\n');
  const [line] = await once(child.stdout, 'data');
  judge(String(line).trim() === '7', `the function that Rust calls answers ${String(line).trim()}`);
  await exited;
}

async function withRuntime() {
  const words = ['gcc', '-O2', SOURCE, '-o', file('server2'), '-pthread'];
  run(tool('cc', '--runtime', '--', ...words), 'it is built', good);
  run(['ldd', file('server2')], 'libc only', ({ text }) => {
    const names = text.match(/\S+\.so\S*(?= =>)|\/\S+/g) ?? [];
    return names.length > 0 && names.every((name) => /libc|ld-linux|vdso/.test(name));
  });
  const { child, pid, port } = await begin([file('server2'), '2']);
  console.log('$ curl localhost/admin/route/table; curl localhost/sum/10');
  told(await ask(port, '/admin/route/table'));
  const body = await ask(port, '/sum/10');
  judge(body === 'table 385', `the admin command retargets: ${body}`);
  const set = tool('set', `${pid}`, 'route=route_formula');
  run(set, 'the same runtime, found by its name', ({ text }) =>
    /table -> route_formula/.test(text),
  );
  const pages = readFileSync(`/proc/${pid}/maps`, 'utf8').match(/r-xp.*memfd:static-call /g) ?? [];
  judge(pages.length === 1, `${pages.length} page of machine code`);
  judge((await ask(port, '/sum/10')) === 'formula 385', 'GET /sum/10');
  console.log(`  ${await ask(port, '/admin/route/loop')}`);
  judge((await ask(port, '/sum/10')) === 'loop 385', 'the admin command retargets after it');
  child.stdin.end();
  await once(child, 'exit');
}

try {
  await withoutRuntime();
  await elsewhere();
  await linkedOtherwise();
  await withRuntime();
  console.log(bad === 0 ? 'Everything is as it should be.' : `${bad} lines are not.`);
  process.exitCode = bad === 0 ? 0 : 1;
} finally {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}
