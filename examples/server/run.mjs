// npm run example:server: the server of this folder under load, while its route handler is
// retargeted 200 times a second: by its own admin command (the program links a runtime), and by an
// operator's tool from outside (it does not). Every answer is checked, and no connection may be
// lost; the 99th percentile of a request stands beside that of a server that is not retargeted.
// With --seconds N each part takes so long, with --only quiet, admin or operator it is that part;
// with --storm workers come and go, children are forked and signals arrive meanwhile, and what the
// server has grown by is told; with --together the admin's part and the operator's go on at the
// same time; with --json the rows are printed as JSON. The soak of ten minutes is `--storm
// --together --seconds 600`.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { get as httpGet, Agent } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as after } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import * as api from '../../dist/index.js';

const { values: flags } = parseArgs({
  options: {
    seconds: { type: 'string', default: '2' },
    only: { type: 'string' },
    storm: { type: 'boolean', default: false },
    together: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});
const PER_SECOND = 200;
const ROUTES = ['loop', 'formula', 'table'];
const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'static-call-server-'));
const CLI = [process.execPath, here('../../bin/static-call')];

function must([program, ...words]) {
  const { status, stderr, error } = spawnSync(program, words, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program} ${words.join(' ')}\n${error ?? stderr}`);
}

function build() {
  const file = (name) => join(folder, name);
  const gcc = ['gcc', '-O2', '-Wall', '-Wextra'];
  const [server, load] = [here('server.c'), here('load.c')];
  must([...CLI, 'cc', '--runtime', '--', ...gcc, server, '-o', file('own'), '-pthread']);
  must([...CLI, 'cc', '--', ...gcc, server, '-o', file('plain'), '-pthread']);
  must([...gcc, load, '-o', file('load'), '-pthread']);
}

/** A server that ends with this process, because its input does. */
async function serve(name) {
  const child = spawn(join(folder, name), ['2'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [line] = await once(child.stdout, 'data');
  const port = Number(/port (\d+)/.exec(line)[1]);
  const agent = new Agent({ keepAlive: true });
  const get = (path) =>
    new Promise((resolve, reject) => {
      httpGet({ port, path, agent }, (answer) => {
        let body = '';
        answer.on('data', (text) => (body += text));
        answer.on('end', () => resolve({ status: answer.statusCode, body }));
      }).on('error', reject);
    });
  return {
    pid: child.pid,
    port,
    get,
    async end() {
      agent.destroy();
      child.stdin.end();
      const [status, signal] = await once(child, 'exit');
      if (status !== 0) throw new Error(`the server ended with ${signal ?? status}`);
    },
  };
}

async function load(port, place, seconds) {
  const child = spawn(join(folder, 'load'), [`${port}`, '4', `${seconds}`, place]);
  let text = '';
  child.stdout.on('data', (more) => (text += more));
  await once(child, 'close');
  return JSON.parse(text);
}

/** What a server has, for "no growth": KB of memory that is used, mappings, descriptors, threads. */
function sizeOf(pid) {
  const read = (name) => readFileSync(`/proc/${pid}/${name}`, 'utf8');
  const status = read('status');
  return {
    kb: Number(/VmRSS:\s+(\d+)/.exec(status)[1]),
    maps: read('maps').split('\n').length - 1,
    files: readdirSync(`/proc/${pid}/fd`).length,
    threads: Number(/Threads:\s+(\d+)/.exec(status)[1]),
  };
}

/**
 * The least that a server has, of looks twenty times a second while it is under load. Threads and
 * connections come and go; what stays is in the least of all looks, and what leaks makes it grow.
 */
async function leastSize(pid, seconds) {
  const least = sizeOf(pid);
  for (const end = performance.now() + 1000 * seconds; performance.now() < end;) {
    await after(50);
    for (const [name, value] of Object.entries(sizeOf(pid)))
      least[name] = Math.min(least[name], value);
  }
  return least;
}

/** What a server has at the end of some seconds of load, and what of it came meanwhile. */
async function growth(pid, seconds) {
  // The second fifth is held against the last: what the first takes is no growth.
  await after(200 * seconds);
  const before = await leastSize(pid, seconds / 5);
  await after(350 * seconds);
  const size = await leastSize(pid, seconds / 5);
  const grown = Object.entries(size).map(([name, value]) => [name, value - before[name]]);
  return { size, grown: Object.fromEntries(grown) };
}

/** Calls `act` so many times a second until it is told to stop; answers how often it did. */
async function regularly(perSecond, state, act) {
  const began = performance.now();
  let count = 0;
  while (!state.stop) {
    await act(count++);
    await after(Math.max(0, began + (count * 1000) / perSecond - performance.now()));
  }
  return count;
}

/** One part: a server, load, and what goes on meanwhile. `retarget` is made once the server runs. */
async function part(title, name, makeRetarget) {
  const server = await serve(name);
  const seconds = Number(flags.seconds);
  const state = { stop: false };
  const retarget = await makeRetarget(server);
  const retargets = retarget
    ? regularly(PER_SECOND, state, (i) => retarget(ROUTES[i % ROUTES.length]))
    : 0;
  const work = [];
  if (flags.storm) {
    work.push(regularly(2, state, () => server.get('/admin/renew')));
    work.push(regularly(50, state, () => process.kill(server.pid, 'SIGUSR1')));
  }
  const loads = [load(server.port, 'sum', seconds)];
  if (flags.storm) loads.push(load(server.port, 'cgi', seconds));
  const sizes = flags.storm ? await growth(server.pid, seconds) : {};
  const [answers, ...others] = await Promise.all(loads);
  state.stop = true;
  const updates = await retargets;
  await Promise.all(work);
  await server.end();
  const all = [answers, ...others];
  const sum = (field) => all.reduce((total, each) => total + each[field], 0);
  return {
    title,
    requests: sum('requests'),
    wrong: sum('wrong'),
    dropped: sum('dropped'),
    updates,
    p50: answers.p50,
    p99: answers.p99,
    by: answers.by,
    ...sizes,
  };
}

const byAdmin = (server) => async (route) => {
  const { status, body } = await server.get(`/admin/route/${route}`);
  if (status !== 200) throw new Error(`/admin/route/${route}: ${body}`);
};
async function byOperator(server) {
  const attached = api.attach(server.pid);
  return (route) => attached.update({ route: `route_${route}` });
}

function show(rows) {
  const columns = {
    '': 'title',
    requests: 'requests',
    retargets: 'updates',
    wrong: 'wrong',
    dropped: 'dropped',
    'p50 us': 'p50',
    'p99 us': 'p99',
    ...(flags.storm && { 'grown by': 'growth' }),
  };
  const growthOf = ({ kb, maps, files, threads }) =>
    `${kb} KB, ${maps} mappings, ${files} descriptors, ${threads} threads`;
  const cells = rows
    .map((row) => ({ ...row, growth: row.grown && growthOf(row.grown) }))
    .map((row) => Object.values(columns).map((field) => String(row[field])));
  const head = Object.keys(columns);
  const widths = head.map((_, i) => Math.max(...[head, ...cells].map((row) => row[i].length)));
  for (const row of [head, ...cells])
    console.log(
      row
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
        .join('  '),
    );
}

try {
  build();
  const parts = {
    quiet: ['no retargets', 'own', () => null],
    admin: ['its own admin command', 'own', byAdmin],
    ...('attach' in api && { operator: ['an operator, from outside', 'plain', byOperator] }),
  };
  const rows = [];
  const { quiet, ...retargeted } = parts;
  if (flags.together)
    rows.push(...(await Promise.all(Object.values(retargeted).map((each) => part(...each)))));
  else
    for (const [name, each] of Object.entries({ quiet, ...retargeted }))
      if (flags.only === undefined || flags.only === name) rows.push(await part(...each));
  if (flags.json) console.log(JSON.stringify(rows));
  else show(rows);
  const bad = rows.some(({ wrong, dropped, requests }) => wrong + dropped > 0 || requests === 0);
  process.exitCode = bad ? 1 : 0;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
