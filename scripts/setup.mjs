#!/usr/bin/env node
// Makes a fresh checkout ready: the right Node, the locked dependencies, a current build.
// Everything it says goes to stderr, for stdout belongs to the command that runs after it.
// It is called by name from `npm start` and `npm test`: lifecycle pre-hooks are skipped silently
// under `ignore-scripts`, and that is just where a first run must not fail.
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const buildOnly = process.argv.includes('--build-only');

// 22.0 to 22.11 cannot require an ES module, which `require('static-call')` is; 21 neither.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
const supported = (major === 20 && minor >= 20) || (major === 22 && minor >= 12) || major > 22;
if (!supported) {
  console.error(
    `static-call needs Node 20.20, or 22.12 or newer; this is ${process.versions.node}.`,
  );
  process.exit(4);
}
// An installed package has its build and neither sources nor a lock file: nothing to do.
if (!existsSync(join(root, 'src'))) process.exit(0);

/**
 * Two runs at once (a test beside a start) must not both install: the second waits for the first.
 */
function lock(path) {
  for (let waitedMs = 0; ; waitedMs += 200) {
    try {
      const file = openSync(path, 'wx');
      writeSync(file, String(process.pid));
      closeSync(file);
      process.on('exit', () => rmSync(path, { force: true }));
      return;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    const owner = Number(readOr(path, '0'));
    if (owner && !alive(owner)) rmSync(path, { force: true });
    else if (waitedMs > 600_000) {
      console.error(
        `setup: ${path} has been held by process ${owner} for ten minutes; remove it if that is not a setup.`,
      );
      process.exit(4);
    } else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
  }
}
function alive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
function readOr(path, otherwise) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return otherwise;
  }
}
const modified = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0);
const newest = (folder) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' }).reduce(
    (latest, name) => Math.max(latest, modified(join(folder, name))),
    0,
  );

function run(command, args) {
  const done = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (done.error) {
    console.error(`setup: ${command} could not be started: ${done.error.message}`);
    process.exit(4);
  }
  if (done.status !== 0) process.exit(done.status ?? 1);
}

lock(join(root, '.setup.lock'));
const installed = join(root, 'node_modules', '.package-lock.json');
if (!buildOnly && modified(installed) < modified(join(root, 'package-lock.json'))) {
  // Development and optional packages are named because NODE_ENV=production would leave them out.
  run('npm', [
    'ci',
    '--include=dev',
    '--include=optional',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
  ]);
}
const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
if (!existsSync(tsc)) {
  // npm links a checkout that another project depends on, and does not install what it is built
  // with.
  console.error(`setup: ${root} has not been made ready; run npm install in it first.`);
  process.exit(4);
}
run(process.execPath, [tsc, '-p', root]);
// What takes a while, only where its sources have changed. The page holds decoder and engine.
const decoder = join(root, 'dist', 'x86', 'decoder.wasm');
const decoderFrom = ['package-lock.json', 'scripts/decoder.mjs', 'src/x86/wasm.ts'];
if (modified(decoder) < Math.max(...decoderFrom.map((path) => modified(join(root, path)))))
  run(process.execPath, [join(root, 'scripts', 'decoder.mjs')]);
const engine = join(root, 'dist', 'check', 'search', 'engine.wasm');
if (modified(engine) < newest(join(root, 'engine')))
  run(process.execPath, [join(root, 'scripts', 'engine.mjs')]);
const sources = Math.max(newest(join(root, 'src')), modified(engine), modified(decoder));
if (modified(join(root, 'dist', 'cli', 'beside.cjs')) < sources)
  run(process.execPath, [join(root, 'scripts', 'beside.mjs')]);
if (modified(join(root, 'dist', 'view.html')) < sources) {
  run(process.execPath, [tsc, '-p', join(root, 'src', 'view', 'page')]);
  run(process.execPath, [join(root, 'scripts', 'page.mjs')]);
}

// A source that was moved or removed leaves its build behind, where a test or the package would
// still find it.
for (const entry of readdirSync(join(root, 'dist'), { recursive: true, withFileTypes: true })) {
  if (!/\.(js|js\.map|d\.ts)$/.test(entry.name)) continue;
  const built = join(entry.parentPath, entry.name);
  const source = built
    .replace(join(root, 'dist'), join(root, 'src'))
    .replace(/\.(js|js\.map|d\.ts)$/, '.ts');
  if (!existsSync(source)) rmSync(built);
}
