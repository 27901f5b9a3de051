// What the tests of kernels in a guest have in common: the kernels, programs for the inside, and
// what is said of a dump.

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { FileBytes } from '#inspect/live/bytes';
import type { LiveFacts } from '#inspect/live/facts';
import { inspectDump } from '#inspect/live/inspect';
import type { Folder } from '../../build.js';
import { missing, modulesIn, MODULES } from '../../../examples/kernel/guest.mjs';

const corpus = process.env['STATIC_CALL_CORPUS'] ?? 'corpus';
const filesIn = (folder: string): string[] =>
  existsSync(folder)
    ? readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((file) => file.isFile())
        .map((file) => join(file.parentPath, file.name))
    : [];
export const KERNELS = ['kernel', 'newer'].map((name) => {
  const files = filesIn(join(corpus, name));
  return {
    name,
    kernel: files.find((path) => /\/vmlinuz-[^/]*$/.test(path)),
    modules: modulesIn(files, MODULES) as string[],
  };
});

/** Why no guest is booted here; null where one can. They take three minutes of CPU time. */
export const unbooted: string | null =
  (process.env['STATIC_CALL_GUESTS'] ? null : 'STATIC_CALL_GUESTS=1 asks for it') ??
  missing() ??
  (KERNELS.some(({ kernel }) => kernel === undefined) ? 'scripts/corpus has not been run' : null);

/** A program for the inside of a guest; null where it cannot be built. */
export function programOf(folder: Folder, name: string): Uint8Array | null {
  const out = folder.file(name);
  const done = spawnSync('gcc', ['-O2', '-static', '-o', out, `test/inspect/live/${name}.c`]);
  return done.status === 0 ? readFileSync(out) : null;
}

export function read(path: string): LiveFacts {
  using bytes = new FileBytes(path, false);
  return inspectDump(bytes, path);
}

/** Without what names the source. */
export function same<K extends { readonly source: string; readonly stopped: boolean }>(facts: {
  readonly kernel: K;
}): object {
  return { ...facts, kernel: { ...facts.kernel, source: '', stopped: true } };
}

export const unmade: string | null = spawnSync('makedumpfile', ['-v']).error
  ? 'makedumpfile is not installed'
  : null;

/** With -F it writes to its standard output. */
export function makedumpfile(flags: string, from: string, to: string): void {
  const out = flags.includes('-F') ? '>' : '';
  const line = `makedumpfile ${flags} '${from}' ${out} '${to}'`;
  const done = spawnSync('sh', ['-c', line], { encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`${line}: ${done.stdout}${done.stderr}`);
}
