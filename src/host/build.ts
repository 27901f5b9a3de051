// From a C file to a shared object whose sites are in its own table: compile, annotate, link, with
// the system's compiler. What the build commands and the demo share.

import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { Fault } from '../base/fault.js';
import { readOriginal, rewriteFile } from '../base/file.js';
import { readElf } from '../elf/read.js';
import { annotate } from '../sites/annotate.js';

type Environment = Readonly<Record<string, string | undefined>>;

/** Tried in this order where CC does not say. */
const COMPILERS = ['gcc', 'clang', 'cc'] as const;

function onPath(name: string, env: Environment): boolean {
  const places = name.includes('/')
    ? [name]
    : (env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, name));
  return places.some((place) => {
    try {
      accessSync(place, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** A program and its words. */
export type Command = readonly [program: string, ...words: string[]];

/** CC's words, or the first compiler on the path. @throws Fault `no-compiler` */
export function findCompiler(env: Environment): Command {
  const wanted = env['CC']?.trim();
  if (wanted) {
    const [compiler = '', ...options] = wanted.split(/\s+/);
    if (!onPath(compiler, env))
      throw new Fault('no-compiler', `CC names ${compiler}, which is not on the path`);
    return [compiler, ...options];
  }
  const found = COMPILERS.find((name) => onPath(name, env));
  if (!found) throw new Fault('no-compiler', `none of ${COMPILERS.join(', ')} is on the path`);
  return [found];
}

function run(command: Command, env: Environment): void {
  const [program, ...words] = command;
  const done = spawnSync(program, words, { encoding: 'utf8', env });
  if (done.error)
    throw new Fault('no-compiler', `${program} could not be started: ${done.error.message}`, {
      cause: done.error,
    });
  if (done.status !== 0)
    throw new Fault(
      'compile-failed',
      `${command.join(' ')} ended with ${done.signal ?? `status ${done.status}`}`,
      { cause: new Error(done.stderr.trim()) },
    );
}

export interface Build {
  readonly source: string;
  readonly output: string;
  readonly include: string;
  readonly env: Environment;
}

/**
 * @returns the words of the compiler that was used. @throws Fault `no-compiler`, `compile-failed`
 */
export function buildShared({ source, output, include, env }: Build): readonly string[] {
  const compiler = findCompiler(env);
  const object = `${output}.o`;
  run([...compiler, '-O2', '-g', '-fPIC', `-I${include}`, '-c', source, '-o', object], env);
  const original = readOriginal(object);
  const annotated = annotate(readElf(original.bytes, object));
  if (annotated.bytes) rewriteFile(original, annotated.bytes);
  run([...compiler, '-shared', object, '-o', output, '-lpthread'], env);
  return compiler;
}
