// Programs that link a runtime of their own, built as a user builds them: by `static-call cc
// --runtime`, or by hand with the file that `static-call runtime` writes.

import { readFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { runtimeSource } from '#host/runtime';
import { must, type Folder } from '../build.js';
import type { Ended } from '../process/child.js';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
export const INCLUDE: string = here('../../include');
export const BIN: string = here('../../bin/static-call');
export const program = (name: string): string => here(`./programs/${name}`);

/** What `static-call runtime` writes, with edits that a test makes in it. */
export function emitted(edits: readonly (readonly [from: string, to: string])[] = []): string {
  let text = runtimeSource(readFileSync(`${INCLUDE}/static_call_runtime.c`, 'utf8'), '0.0.0');
  for (const [from, to] of edits) {
    if (text.split(from).length !== 2)
      throw new Error(`there is not one place that reads: ${from}`);
    text = text.replace(from, () => to);
  }
  return text;
}

/** By `static-call cc --runtime`, the compiler's words behind it; returns the output. */
export function built(
  folder: Folder,
  output: string,
  words: readonly string[],
  compiler = 'gcc',
): string {
  const path = folder.file(output);
  const strict = ['-O2', '-Wall', '-Wextra', '-Werror'];
  const command = [compiler, ...strict, ...words, '-o', path];
  must(process.execPath, [BIN, 'cc', '--runtime', '--', ...command], folder.path);
  return path;
}

export interface ByHand {
  readonly source: string;
  readonly output: string;
  readonly compiler?: string;
  /** For every compilation, for the program's own, and for the link. */
  readonly flags?: readonly string[];
  readonly link?: readonly string[];
  readonly runtime?: string;
  readonly runtimeFlags?: readonly string[];
}

/** By hand, command by command, as docs/runtime.md tells it. */
export function byHand(folder: Folder, how: ByHand): string {
  const { compiler = 'gcc', flags = [], link = [], runtimeFlags = [] } = how;
  const [object, own] = [folder.file(`${how.output}.o`), folder.file(`${how.output}.runtime.o`)];
  const source = folder.write(`${how.output}.runtime.c`, how.runtime ?? emitted());
  const strict = ['-Wall', '-Wextra', '-Werror'];
  const include = `-I${INCLUDE}`;
  const cpp = how.source.endsWith('.cpp');
  const driver = cpp ? compiler.replace('gcc', 'g++').replace(/clang(?!\+)/, 'clang++') : compiler;
  const common = [...strict, ...flags, include, '-c'];
  must(driver, ['-O2', '-DSTATIC_CALL_RUNTIME', ...common, how.source, '-o', object]);
  must(process.execPath, [BIN, 'annotate', object]);
  must(compiler, ['-std=c11', '-Os', ...runtimeFlags, ...common, source, '-o', own]);
  const path = folder.file(how.output);
  must(driver, [...flags, object, own, '-pthread', ...link, '-o', path]);
  return path;
}

/** Runs it; a program that hangs is ended. */
export function ran(
  path: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Ended {
  const { status, signal, stdout, stderr } = spawnSync(path, args, {
    encoding: 'utf8',
    timeout: 120_000,
    killSignal: 'SIGKILL',
    env: { ...process.env, ...env },
  });
  return { status, signal, stdout, stderr };
}
export const WELL: Partial<Ended> = { status: 0, signal: null, stdout: '', stderr: '' };
