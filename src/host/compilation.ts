// A compiler's command line, read: what it will make, from which files, and for which assembler.
// The rules are those of the gcc driver, which clang follows. It is read, never rewritten: `cc`
// runs the same words with a few more behind them, and what it does not understand it leaves to the
// compiler.

import { basename } from 'node:path';
import { UNITS, type Unit } from '../base/addr.js';
import { Fault } from '../base/fault.js';

export type Assembler = 'gas' | 'llvm';

export interface Compilation {
  /**
   * `other`: preprocessing, a query, an assembly listing: nothing is made that could hold sites.
   */
  readonly mode: 'compile' | 'link' | 'other';
  /** Objects, or the one linked file. */
  readonly outputs: readonly string[];
  readonly lto: boolean;
  /** Calls go through the GOT: the assembler counts them as indirect ones. */
  readonly throughGot: boolean;
  /** Linked again later (`-r`). */
  readonly partial: boolean;
}

/**
 * Options whose value is the next word. Those that are also written with the value attached are
 * recognised as such by their length.
 */
const WITH_VALUE: ReadonlySet<string> = new Set(
  '-o -x -I -D -U -L -l -T -u -z -e -h -MF -MT -MQ -include -imacros -isystem -iquote -idirafter -iprefix -isysroot -B -A -G -Xlinker -Xassembler -Xpreprocessor -Xclang -mllvm -aux-info --param --sysroot -target -arch -wrapper -specs -dumpbase -dumpdir'.split(
    ' ',
  ),
);

const SOURCE = /\.(c|i|ii|cc|cp|cxx|cpp|CPP|c\+\+|C|s|S|sx)$/;
const ENDS_BEFORE_CODE: ReadonlySet<string> = new Set([
  '-E',
  '-S',
  '-fsyntax-only',
  '-M',
  '-MM',
  '-###',
  '--version',
  '--help',
  '-dumpversion',
  '-dumpmachine',
  '-v',
]);
/** Programs that run the compiler named behind them. */
const LAUNCHERS: ReadonlySet<string> = new Set(['ccache', 'sccache', 'distcc', 'icecc']);

/** The words that name the compiler: the first, and the second where the first is a launcher. */
export function compilerOf(words: readonly string[]): readonly string[] {
  return LAUNCHERS.has(basename(words[0] ?? '')) ? words.slice(0, 2) : words.slice(0, 1);
}

/** `options` are the words behind the compiler's own. */
export function readCompilation(options: readonly string[]): Compilation {
  const sources: string[] = [];
  const inputs: string[] = [];
  let output: string | null = null;
  let compile = false;
  let other = false;
  const has = (word: string): boolean => options.includes(word);
  for (let i = 0; i < options.length; i++) {
    const word = options[i]!;
    if (WITH_VALUE.has(word)) {
      const value = options[++i];
      if (word === '-o') output = value ?? null;
      if (word === '-l') inputs.push(value ?? '');
    } else if (word.startsWith('-o') && word.length > 2) output = word.slice(2);
    else if (word === '-c') compile = true;
    else if (ENDS_BEFORE_CODE.has(word) && word !== '-v') other = true;
    else if (!word.startsWith('-')) {
      inputs.push(word);
      if (SOURCE.test(word)) sources.push(word);
    }
  }
  const lto = options.some((word) => /^-flto(=|$)/.test(word)) && !has('-fno-lto');
  const rest = { lto, throughGot: has('-fno-plt'), partial: has('-r') };
  // `gcc -v` alone asks; with files it only speaks more.
  if (other || inputs.length === 0) return { mode: 'other', outputs: [], ...rest };
  if (!compile) return { mode: 'link', outputs: [output ?? 'a.out'], ...rest };
  const objects = sources.map((source) => `${basename(source).replace(SOURCE, '')}.o`);
  return { mode: 'compile', outputs: output === null ? objects : [output], ...rest };
}

/** Of gas; clang's own takes any power of two. */
const LEAST = UNITS.fetch16;

/**
 * What keeps the assembler from placing a call or jump across the end of a unit. Not conditional
 * jumps: a site is one only where clang makes a conditional tail call, while every program is full
 * of them, and aligning them doubles the growth.
 * @throws Fault `bad-usage` where the assembler cannot
 */
export function alignment(
  assembler: Assembler,
  { mode, lto, throughGot }: Compilation,
  unit: Unit,
): readonly string[] {
  if (mode === 'other') return [];
  const size = UNITS[unit];
  const kinds = throughGot ? 'call+jmp+indirect' : 'call+jmp';
  if (assembler === 'gas') {
    if (size < LEAST)
      throw new Fault('bad-usage', `gas keeps nothing inside ${size} bytes`, {
        hint: "clang's own assembler does; with gas, --align fetch16 keeps three of four sites inside a quadword",
      });
    return [`-Wa,-malign-branch-boundary=${size}`, `-Wa,-malign-branch=${kinds}`];
  }
  const options = [`-x86-align-branch-boundary=${size}`, `-x86-align-branch=${kinds}`];
  const own = options.flatMap((option) => ['-mllvm', option]);
  // With link-time optimisation the code is made by the linker, which takes the options by another
  // door.
  return mode === 'link' && lto
    ? [...own, ...options.map((option) => `-Wl,-mllvm,${option}`)]
    : own;
}
