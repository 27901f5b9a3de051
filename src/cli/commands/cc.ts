// A compiler's command, run as it stands with a few words more, and its result annotated: the one line by which a
// C project adopts static calls. The compiler's own words and status pass through.

import { spawnSync } from 'node:child_process';
import { EXIT, Fault } from '../../base/fault.js';
import { readWhole, replaceFile } from '../../base/file.js';
import * as N from '../../elf/names.js';
import type { ElfObject } from '../../elf/object.js';
import { isElf, readElf } from '../../elf/read.js';
import { alignment, compilerOf, readCompilation, type Assembler } from '../../app/compilation.js';
import { annotate } from '../../sites/annotate.js';
import { decodeSites } from '../../sites/find.js';
import { KEY_PREFIX, TRAMPOLINE_PREFIX } from '../../sites/site.js';
import type { Context } from '../context.js';
import { includeDir } from './include.js';

export interface Flags {
  readonly align: boolean;
  readonly verbose: boolean;
}

export function run(context: Context, flags: Flags, ...words: string[]): number {
  const compiler = compilerOf(words);
  const options = words.slice(compiler.length);
  const made = readCompilation(options);
  const aligned = !flags.align ? [] : alignment(assemblerOf(compiler, options, context.env), made);
  const all = [...words, `-I${includeDir()}`, ...aligned];
  if (flags.verbose) context.note(all.join(' '));
  const status = start(all, context.env, 'inherit').status;
  if (status !== 0) return status;
  for (const path of made.outputs) {
    const sites = tabulate(path, made.mode === 'compile' || made.partial);
    if (flags.verbose) context.note(`${path}: ${sites}`);
  }
  return EXIT.good;
}

function start(words: readonly string[], env: Context['env'], stdio: 'inherit' | 'pipe'): { status: number; stdout: string } {
  const done = spawnSync(words[0]!, words.slice(1), { stdio: stdio === 'inherit' ? 'inherit' : ['ignore', 'pipe', 'ignore'], encoding: 'utf8', env });
  if (done.error) throw new Fault('no-compiler', `${words[0]} could not be started: ${done.error.message}`, { cause: done.error });
  // A compiler that was killed made nothing; 128 + n is what a shell would say.
  return { status: done.status ?? (done.signal === 'SIGINT' ? EXIT.interrupted : 128), stdout: done.stdout };
}

/** gcc assembles with gas; clang by itself, unless told otherwise. */
function assemblerOf(compiler: readonly string[], options: readonly string[], env: Context['env']): Assembler {
  if (options.includes('-fno-integrated-as') || options.includes('-no-integrated-as')) return 'gas';
  return start([...compiler, '--version'], env, 'pipe').stdout.includes('clang') ? 'llvm' : 'gas';
}

/** Writes the table, where the file can have one yet; says what was done. */
function tabulate(path: string, unlinked: boolean): string {
  if (path === '/dev/null') return 'nothing kept';
  const bytes = readWhole(path);
  // Intermediate code: what is linked from it gets its table.
  if (!isElf(bytes)) return 'no object code';
  const object = readElf(bytes, path);
  if (unlinked && !nameable(object)) return 'left for the linked file, for a key may belong to another object';
  const { outcome, sites, bytes: annotated } = annotate(object);
  if (annotated) replaceFile(path, annotated);
  if (outcome !== 'present') return `${sites.length} sites`;
  return 'its objects brought their tables';
}

/**
 * Whether an object's table can be linked into anything: an entry is a 32-bit distance to the key, so a key that another
 * shared object may define, or pre-empt, cannot be named before the link.
 */
function nameable(object: ElfObject): boolean {
  const symbols = object.symbols;
  if (!symbols || object.type !== 'relocatable') return true;
  const hidden = (name: string): boolean => {
    const i = symbols.find(name);
    return i > 0 && symbols.visibility(i) === N.STV_HIDDEN;
  };
  const keys = new Map(decodeSites(object).map(({ key, keySymbol }) => [key, keySymbol]));
  // An undefined key is only ever named by assembly, which knows no visibility: its trampoline tells.
  return [...keys].every(([key, symbol]) => symbol === KEY_PREFIX + key && (hidden(symbol) || hidden(TRAMPOLINE_PREFIX + key)));
}
