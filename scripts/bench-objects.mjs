#!/usr/bin/env node
// The speed of annotate beside the kernel's objtool, on the same files in the same minute, and of
// inspect: `npm run bench:objects`. Both change copies of the modules that have sites, from which
// objcopy took the table. Rounds alternate, so that a busy machine slows both, and the median
// counts. Status 1 where a gate is missed.
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const corpus = process.env.STATIC_CALL_CORPUS ?? join(root, 'corpus');
if (!existsSync(join(corpus, 'kernel'))) {
  console.error('bench:objects: scripts/corpus has not been run');
  process.exit(4);
}
const ROUNDS = 5;
const modules = readdirSync(join(corpus, 'kernel'), { recursive: true, withFileTypes: true })
  .filter((f) => f.isFile() && f.name.endsWith('.ko'))
  .map((f) => join(f.parentPath, f.name));
const work = mkdtempSync(join(tmpdir(), 'static-call-bench-'));
process.on('exit', () => rmSync(work, { recursive: true, force: true }));

/**
 * Runs the command line of this project and tells its wall time, its CPU time (what a busy machine
 * does not stretch so much) and its peak of memory.
 */
function ours(args) {
  const tell =
    'data:text/javascript,process.on("exit",()=>process.stderr.write("\\npeak "+process.resourceUsage().maxRSS+" cpu "+(process.cpuUsage().user+process.cpuUsage().system)))';
  const began = performance.now();
  const done = spawnSync(
    process.execPath,
    ['--import', tell, join(root, 'bin/static-call'), ...args],
    { encoding: 'utf8', maxBuffer: 1 << 30 },
  );
  const ms = performance.now() - began;
  if (done.status !== 0)
    throw new Error(`static-call ${args[0]}: status ${done.status}\n${done.stderr}`);
  const [, peak, cpu] = /peak (\d+) cpu (\d+)$/.exec(done.stderr);
  return { ms, mib: Number(peak) / 1024, cpuMs: Number(cpu) / 1000, stdout: done.stdout };
}
const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
let missed = 0;
function gate(what, value, limit, unit) {
  const good = value <= limit;
  if (!good) missed++;
  console.log(
    `  ${what}: ${value.toFixed(2)}${unit} (gate: at most ${limit}${unit}) ${good ? 'met' : 'MISSED'}`,
  );
}

const bare = join(work, 'bare');
mkdirSync(bare);
const table = Buffer.from('\0.static_call_sites\0');
const tail = Buffer.from('.rela.static_call_sites\0');
for (const [i, path] of modules.entries()) {
  const bytes = readFileSync(path);
  if (bytes.indexOf(table) < 0 && bytes.indexOf(tail) < 0) continue;
  spawnSync('objcopy', [
    '-R',
    '.static_call_sites',
    '-R',
    '.rela.static_call_sites',
    path,
    join(bare, `${i}-${basename(path)}`),
  ]);
}
const names = readdirSync(bare);
const times = { ours: [], objtool: [], mib: [] };
for (let round = 0; round < ROUNDS; round++) {
  for (const who of round % 2 ? ['ours', 'objtool'] : ['objtool', 'ours']) {
    const copy = join(work, 'copy');
    rmSync(copy, { recursive: true, force: true });
    mkdirSync(copy);
    for (const name of names) copyFileSync(join(bare, name), join(copy, name));
    if (who === 'ours') {
      const { ms, mib } = ours(['annotate', '--module', ...names.map((name) => join(copy, name))]);
      times.ours.push(ms);
      times.mib.push(mib);
    } else {
      const began = performance.now();
      // The files that objtool refuses count as well: it reads them before it says so.
      for (const name of names)
        spawnSync(
          join(corpus, 'objtool'),
          ['--static-call', '--link', '--module', join(copy, name)],
          { stdio: 'ignore' },
        );
      times.objtool.push(performance.now() - began);
    }
  }
}
console.log(
  `annotate ${names.length} modules in one process: ${median(times.ours).toFixed(0)} ms; objtool, one process each: ${median(times.objtool).toFixed(0)} ms (medians of ${ROUNDS})`,
);
gate('ratio', median(times.ours) / median(times.objtool), 0.5, '');
gate('memory', Math.max(...times.mib), 300, ' MiB');

// inspect: the whole command, start of the process included. readelf beside it reads the same files
// for their section headers alone: what any tool must pay to open them.
const image = readdirSync(join(corpus, 'kernel', 'boot')).find((name) =>
  name.startsWith('vmlinuz-'),
);
const rows = [
  {
    what: `${modules.length} modules`,
    target: join(corpus, 'kernel', 'lib'),
    limitS: 1.5,
    beside: modules,
  },
  {
    what: 'the distributed image',
    target: join(corpus, 'kernel', 'boot', image),
    limitS: 3,
    beside: null,
  },
];
for (const { what, target, limitS, beside } of rows) {
  const runs = [];
  const readelf = [];
  for (let round = 0; round < ROUNDS; round++) {
    runs.push(ours(['inspect', target]));
    if (!beside) continue;
    const began = performance.now();
    spawnSync('readelf', ['-SW', ...beside], { stdio: 'ignore' });
    readelf.push(performance.now() - began);
  }
  const ms = median(runs.map((r) => r.ms));
  console.log(
    `inspect ${what}: ${ms.toFixed(0)} ms, of CPU ${median(runs.map((r) => r.cpuMs)).toFixed(0)}${beside ? `; readelf -S of the same: ${median(readelf).toFixed(0)} ms` : ''}`,
  );
  console.log(`  ${runs[0].stdout.split('\n', 1)[0].replace(/^\S*\//, '')}`);
  gate('time', ms / 1000, limitS, ' s');
  gate('memory', Math.max(...runs.map((r) => r.mib)), 300, ' MiB');
}
process.exitCode = missed > 0 ? 1 : 0;
