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
  /** The compiler is told to leave the assembling to another program. */
  readonly external: boolean;
  /** The last option lacks its value, and would take a word behind it for that. */
  readonly dangling: boolean;
  /** The words by what they are, for a link that is done in several steps. */
  readonly words: readonly Word[];
}

/** `source` is compiled, `linked` goes to the linker as it is; `value` belongs to the word before. */
export interface Word {
  readonly text: string;
  readonly is: 'source' | 'linked' | 'option' | 'value';
}

/**
 * Options whose value is the next word. Those that are also written with the value attached are
 * recognised as such by their length. What is missing here costs little: its value is taken for a
 * file, and a file that the compiler did not make is not touched.
 */
const WITH_VALUE: ReadonlySet<string> = new Set(
  [
    '-o -x -I -D -U -L -l -T -u -z -e -h -B -A -G -F -MF -MT -MQ -MJ -Tbss -Tdata -Ttext',
    '-include -imacros -isystem -iquote -idirafter -iprefix -iwithprefix -iwithprefixbefore',
    '-isysroot -imultilib -imultiarch -cxx-isystem -ivfsoverlay -framework -rpath -target -arch',
    '-Xlinker -Xassembler -Xpreprocessor -Xclang -Xanalyzer -mllvm -aux-info -wrapper -specs',
    '-dumpbase -dumpbase-ext -dumpdir -working-directory -gcc-toolchain --config',
    '--output --language --for-linker --for-assembler --param --sysroot --specs --entry --prefix',
    '--include --imacros --include-directory --library-directory --define-macro --undefine-macro',
    '--force-link --dumpbase --dumpbase-ext --dumpdir',
  ].flatMap((line) => line.split(' ')),
);

/** What the linker takes as it is. Under -c every other file is compiled, whatever it is called. */
const LINKED = /\.(o|obj|lo|a|so(\.[\w.]+)?|lds?)$/;
const SUFFIX = /(?<=.)\.[^./]*$/;
const ENDS_BEFORE_CODE: ReadonlySet<string> = new Set(
  [
    '-E -S -fsyntax-only -M -MM -### --version --help --target-help -dumpversion -dumpmachine',
    '-dumpfullversion -dumpspecs --preprocess --assemble --dependencies --user-dependencies',
  ].flatMap((line) => line.split(' ')),
);
/** Programs that run the compiler named behind them. */
const LAUNCHERS: ReadonlySet<string> = new Set(['ccache', 'sccache', 'distcc', 'icecc']);

/** The words that name the compiler: the first, and the second where the first is a launcher. */
export function compilerOf(words: readonly string[]): readonly string[] {
  return LAUNCHERS.has(basename(words[0] ?? '')) ? words.slice(0, 2) : words.slice(0, 1);
}

/** What the words have said so far. */
interface Read {
  readonly sources: string[];
  readonly inputs: string[];
  /** The words that the driver hands to the linker. */
  readonly linker: string[];
  readonly words: Word[];
  output: string | null;
  /** Given by -x: then a file is a source whatever its name. */
  language: boolean;
  compile: boolean;
  other: boolean;
}

const named = (read: Read, value: string): void => void (read.output = value);
const spoken = (read: Read, value: string): void => void (read.language = value !== 'none');
const linked = (read: Read, value: string): void => void read.linker.push(value);
/** Of the options with a value, those that matter here. */
const VALUES: ReadonlyMap<string, (read: Read, value: string) => void> = new Map([
  ['-o', named],
  ['--output', named],
  ['-x', spoken],
  ['--language', spoken],
  ['-l', (read, value) => void read.inputs.push(value)],
  ['-Xlinker', linked],
  ['--for-linker', linked],
]);

/** An option and its value in one word. */
function attached(word: string): readonly [option: string, value: string] | null {
  const [, option, value] = /^(--[a-z-]+)=(.*)$/s.exec(word) ?? [];
  if (option !== undefined && value !== undefined) return [option, value];
  return /^-[oxl]./s.test(word) ? [word.slice(0, 2), word.slice(2)] : null;
}

function takeFlag(read: Read, word: string): void {
  if (word === '-c' || word === '--compile') read.compile = true;
  else if (ENDS_BEFORE_CODE.has(word) || /^--?(print-|help=)/.test(word)) read.other = true;
  else if (word.startsWith('-Wl,')) read.linker.push(...word.slice(4).split(','));
}

function takeFile(read: Read, word: string): void {
  read.inputs.push(word);
  const isSource = read.language || !LINKED.test(word);
  if (isSource) read.sources.push(word);
  read.words.push({ text: word, is: isSource ? 'source' : 'linked' });
}

/** Of options that exclude each other the driver takes the last. A value is not an option. */
function lastOption(read: Read, which: RegExp): string {
  return read.words.findLast(({ text, is }) => is === 'option' && which.test(text))?.text ?? '';
}

/** The name that the linker is given last, or null: it wins over the driver's. */
function linkerOutput(words: readonly string[]): string | null {
  let output: string | null = null;
  for (const [i, word] of words.entries()) {
    if (word === '-o' || word === '--output') output = words[i + 1] ?? output;
    else if (word.startsWith('--output=')) output = word.slice('--output='.length);
    else if (/^-o./s.test(word)) output = word.slice(2);
  }
  return output;
}

/** `options` are the words behind the compiler's own, response files expanded. */
export function readCompilation(options: readonly string[]): Compilation {
  const read: Read = {
    sources: [],
    inputs: [],
    linker: [],
    words: [],
    output: null,
    language: false,
    compile: false,
    other: false,
  };
  const words = options[Symbol.iterator]();
  let dangling = false;
  let onlyFiles = false;
  for (const word of words) {
    const pair = attached(word);
    const isFile = onlyFiles || word === '-' || !word.startsWith('-');
    if (!isFile) read.words.push({ text: word, is: 'option' });
    if (isFile) takeFile(read, word);
    else if (word === '--') onlyFiles = true;
    else if (WITH_VALUE.has(word)) {
      const next = words.next();
      dangling = next.done === true;
      if (next.done) continue;
      read.words.push({ text: next.value, is: 'value' });
      VALUES.get(word)?.(read, next.value);
    } else if (pair && VALUES.has(pair[0])) VALUES.get(pair[0])?.(read, pair[1]);
    else takeFlag(read, word);
  }
  const rest = {
    lto: lastOption(read, /^-f(no-)?lto(=|$)/).startsWith('-flto'),
    throughGot: lastOption(read, /^-f(no-)?plt$/) === '-fno-plt',
    partial: lastOption(read, /^-r$/) !== '' || read.linker.includes('-r'),
    external: lastOption(read, /^-(f|fno-|no-)integrated-as$/).includes('no-'),
    dangling,
    words: read.words,
  };
  return { ...made(read), ...rest };
}

function made({ sources, inputs, linker, output, compile, other }: Read): {
  mode: Compilation['mode'];
  outputs: readonly string[];
} {
  // `gcc -v` alone asks; with files it only speaks more.
  if (other || inputs.length === 0) return { mode: 'other', outputs: [] };
  if (!compile) return { mode: 'link', outputs: [linkerOutput(linker) ?? output ?? 'a.out'] };
  if (output !== null) return { mode: 'compile', outputs: [output] };
  const objects = sources.map((source) => `${basename(source).replace(SUFFIX, '')}.o`);
  return { mode: 'compile', outputs: objects };
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
        hint:
          "clang's own assembler does; with gas, --align fetch16 keeps three of four sites " +
          'inside a quadword',
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
