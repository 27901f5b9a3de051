#!/usr/bin/env node
// What drgn and Volatility 3 answer about a kernel's memory without debug information, and whether
// drgn reads there what `inspect` reads: each key's address, value and function, and each site's
// bytes. Volatility is asked twice: as it is, and with a symbol file that referees-isf.py makes of
// the BTF and the kallsyms in the dump. Both come from PyPI, into an environment that goes
// afterwards (--python names one that has them). Without a dump, the kernels of scripts/corpus are
// booted. Exit status: 0 they agree, 1 they do not, 4 something is missing.
// usage: node scripts/referees.mjs [--python PYTHON] [DUMP]...

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { FileBytes } from '../dist/inspect/live/bytes.js';
import { inspectDump } from '../dist/inspect/live/inspect.js';
import { Guest, missing, MODULES, modulesIn } from '../examples/kernel/guest.mjs';

const PACKAGES = ['drgn==0.3.0', 'volatility3==2.28.2'];
const BESIDE = (name) => fileURLToPath(new URL(name, import.meta.url));

function leave(reason) {
  console.error(`referees: ${reason}`);
  process.exit(4);
}
function run(command, args, options = {}) {
  return spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 28, ...options });
}
/** As Python's int() takes them: without a sign. */
const digits = (at) => (at < 0 ? BigInt.asUintN(64, BigInt(at)) : BigInt(at)).toString(16);

function environment(folder) {
  const made = run('python3', ['-m', 'venv', folder]);
  if (made.status !== 0) leave(`python3 makes no environment: ${made.error ?? made.stdout}`);
  const pip = run(join(folder, 'bin/pip'), ['install', '-q', ...PACKAGES]);
  if (pip.status !== 0) leave(`pip does not reach PyPI: ${pip.stderr.trim().split('\n').at(-1)}`);
}

async function dumpsOf(folder) {
  const reason = missing();
  if (reason !== null) leave(reason);
  const corpus = process.env['STATIC_CALL_CORPUS'] ?? 'corpus';
  const dumps = [];
  for (const name of ['kernel', 'newer']) {
    const root = join(corpus, name);
    const files = existsSync(root)
      ? readdirSync(root, { recursive: true }).map((path) => join(root, path))
      : [];
    const kernel = files.find((path) => /\/vmlinuz-[^/]*$/.test(path));
    if (kernel === undefined) leave(`no kernel in ${root}: run scripts/corpus`);
    const guest = await Guest.boot({ kernel, modules: modulesIn(files, MODULES), megabytes: 128 });
    try {
      await guest.run('echo 1 > /sys/kernel/tracing/events/sched/enable');
      const at = (kind) => join(folder, `${name}-${kind}`);
      dumps.push(
        await guest.dump(at('elf')),
        await guest.dump(at('kdump-flattened'), { format: 'kdump-zlib' }),
      );
    } finally {
      await guest.close();
    }
  }
  return dumps;
}

function factsOf(path) {
  const bytes = new FileBytes(path, false);
  try {
    return inspectDump(bytes, path, true);
  } finally {
    bytes[Symbol.dispose]();
  }
}

/** What drgn reads, beside what we do. */
function byDrgn(python, path, { keys, sites, modules }) {
  const asked = {
    keys: keys.map(({ name, module, address, func, now }) => ({
      name,
      module,
      at: digits(address),
      func: digits(func),
      now,
    })),
    sites: sites
      .filter(({ init }) => !init)
      .map(({ at, bytes, key, tail }) => ({ at: digits(at), bytes, key, tail })),
    modules: modules.map(({ name }) => name),
  };
  const done = run(python, [BESIDE('referees.py'), path], { input: JSON.stringify(asked) });
  if (done.status === 0) return JSON.parse(done.stdout);
  return { opens: `no: ${done.stderr.trim().split('\n').at(-1)}`, differ: [] };
}

/** The modules that Volatility lists, or why it lists none. */
function byVolatility(python, path, { modules }, symbols) {
  const vol = join(python, '../vol');
  const done = run(vol, ['-q', ...symbols, '-f', path, 'linux.lsmod.Lsmod']);
  const why = `${done.stdout}\n${done.stderr}`
    .split('\n')
    .find((l) => /requirement was not/.test(l));
  if (done.status !== 0) return { answer: `no: ${why ?? done.stderr.trim().split('\n').at(-1)}` };
  const names = done.stdout.split('\n').map((line) => line.split('\t')[1]);
  const listed = modules.filter(({ name }) => names.includes(name));
  return {
    answer: `${listed.length} of ${modules.length} modules`,
    differ: modules.filter((each) => !listed.includes(each)).map(({ name }) => name),
  };
}

const folder = mkdtempSync(join(tmpdir(), 'static-call-referees-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
const { values, positionals } = parseArgs({
  options: { python: { type: 'string' } },
  allowPositionals: true,
});
if (values.python === undefined) environment(join(folder, 'python'));
const python = values.python ?? join(folder, 'python/bin/python');
let differ = 0;
console.log(PACKAGES.join(', '));
for (const path of positionals.length > 0 ? positionals : await dumpsOf(folder)) {
  const facts = factsOf(path);
  console.log(`\n${basename(path)}: ${facts.kernel.release}, from ${facts.kernel.source}`);
  console.log(`  inspect: ${facts.keys.length} keys, ${facts.sites.length} sites`);
  const { differ: rows, ...said } = byDrgn(python, path, facts);
  for (const [question, answer] of Object.entries(said))
    console.log(`  drgn: ${question}: ${answer}`);
  for (const row of rows.slice(0, 10)) console.log(`  drgn differs: ${row}`);
  differ += rows.length;
  console.log(`  volatility: lsmod: ${byVolatility(python, path, facts, []).answer}`);
  const symbols = join(folder, 'symbols');
  mkdirSync(join(symbols, 'linux'), { recursive: true });
  const isf = run(python, [BESIDE('referees-isf.py'), path, join(symbols, 'linux/made.json')]);
  if (isf.status !== 0) continue;
  const listed = byVolatility(python, path, facts, ['-s', symbols]);
  console.log(`  volatility, with a symbol file of BTF and kallsyms: lsmod: ${listed.answer}`);
  for (const name of listed.differ ?? []) console.log(`  volatility does not list ${name}`);
  differ += listed.differ?.length ?? 0;
}
process.exitCode = differ === 0 ? 0 : 1;
