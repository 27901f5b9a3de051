// Compiles small programs for the tests of the C side. What a compiler made of one source with one
// set of flags is kept for the life of the test run: several tests look at the same object.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inject } from 'vitest';
import { readElf } from '#elf/read';
import type { ElfObject } from '#elf/object';

export const INCLUDE = join(import.meta.dirname, '..', '..', 'include');

export function has(tool: string): boolean {
  return spawnSync(tool, ['--version'], { stdio: 'ignore' }).status === 0;
}

const room = mkdtempSync(join(inject('room'), 'cside-'));
let made = 0;

/** A path in this worker's own directory, removed after the run. */
export function place(name: string): string {
  return join(room, `${made++}-${name}`);
}

const STRICT = ['-Wall', '-Wextra', '-Wpedantic', '-Werror'];

export interface Source {
  readonly cc: string;
  readonly text: string;
  readonly flags?: readonly string[];
  /** What comes before the text; the header, unless told. */
  readonly begin?: string;
  /** Default: linked as a shared object. */
  readonly as?: 'object' | 'shared' | 'program';
}

export interface Compiled {
  readonly path: string;
  readonly elf: ElfObject;
}

function command({
  cc,
  text,
  flags = [],
  begin = '#include <static_call.h>',
  as = 'shared',
}: Source): { argv: string[]; out: string } {
  const cxx = cc.includes('++');
  const source = place(cxx ? 'a.cc' : 'a.c');
  const out = place(as === 'object' ? 'a.o' : as === 'shared' ? 'liba.so' : 'a');
  writeFileSync(source, `${begin}\n${text}\n`);
  const mode = { object: ['-c'], shared: ['-shared', '-fPIC'], program: [] }[as];
  return {
    argv: [
      cxx ? '-std=c++17' : '-std=c11',
      ...STRICT,
      `-I${INCLUDE}`,
      '-O2',
      ...mode,
      source,
      ...flags,
      '-o',
      out,
    ],
    out,
  };
}

/** Throws with the compiler's words where it refuses or warns. */
export function compile(source: Source): Compiled {
  const { argv, out } = command(source);
  const done = spawnSync(source.cc, argv, { encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`${source.cc} ${argv.join(' ')}\n${done.stderr}`);
  return { path: out, elf: readElf(readFileSync(out), out) };
}

/** Throws with the compiler's words where it refuses or warns; no code is made. */
export function accepted(source: Source): void {
  const { argv } = command({ as: 'object', ...source });
  const done = spawnSync(source.cc, [...argv, '-fsyntax-only'], { encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`${source.cc} ${argv.join(' ')}\n${done.stderr}`);
}

/** What the compiler says of a wrong program; throws where it accepts it. */
export function refusal(source: Source): string {
  const { argv } = command({ as: 'object', ...source });
  // No wrong program gets as far as code.
  const done = spawnSync(source.cc, [...argv, '-fsyntax-only'], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C' },
  });
  if (done.status === 0) throw new Error(`${source.cc} accepts:\n${source.text}`);
  return done.stderr;
}

export function output(path: string, ...argv: string[]): string {
  return execFileSync(path, argv, { encoding: 'utf8' });
}
