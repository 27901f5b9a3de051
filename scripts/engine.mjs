// Compiles engine/, the checker's search, to WebAssembly: for one thread, and for several.

import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const asc = join(root, 'node_modules', 'assemblyscript', 'bin', 'asc.js');
const FLAGS = ['-O3', '--noAssert', '--runtime', 'stub', '--use', 'abort=', '--enable', 'threads'];
// As many pages of memory as src/check/search/instance.ts makes.
const PAGES = ['--initialMemory', '64', '--maximumMemory', '65536'];
const SHARED = ['--importMemory', '--sharedMemory', '--zeroFilledMemory', ...PAGES];

// The one that setup.mjs asks for comes last: where the first fails, both are made again.
for (const [from, to, flags] of [
  ['shared.ts', 'engine-shared.wasm', SHARED],
  ['index.ts', 'engine.wasm', []],
]) {
  const paths = [join(root, 'engine', from), '--outFile', join(root, 'dist/check/search', to)];
  const { status } = spawnSync(process.execPath, [asc, ...paths, ...FLAGS, ...flags], {
    stdio: ['ignore', 2, 2],
  });
  if (status !== 0) process.exit(status ?? 1);
}
