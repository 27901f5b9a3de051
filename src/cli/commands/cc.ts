// A compiler's command, run as it stands with a few words more, and its result annotated: the one
// line by which a C project adopts static calls. The compiler's own words and status pass through.

import { spawnSync, type StdioOptions } from 'node:child_process';
import { statSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import type { Unit } from '../../base/addr.js';
import { Fault, isFault } from '../../base/fault.js';
import { readOriginal, rewriteFile } from '../../base/file.js';
import * as N from '../../elf/names.js';
import { printable } from '../../base/printable.js';
import type { ElfObject } from '../../elf/object.js';
import { isElf, readElf } from '../../elf/read.js';
import { declaredKeys } from '../../keys/records.js';
import {
  alignment,
  compilerOf,
  readCompilation,
  type Assembler,
  type Compilation,
} from '../../host/compilation.js';
import { TemporaryFolder } from '../../host/folder.js';
import { RUNTIME_FILE, RUNTIME_MACRO, runtimeLink } from '../../host/runtime-link.js';
import { expandResponses } from '../../host/response.js';
import { annotate, type Annotated } from '../../sites/annotate.js';
import { decodeSites, listedSites } from '../../sites/find.js';
import { KEY_PREFIX, TRAMPOLINE_PREFIX } from '../../sites/site.js';
import type { Context } from '../context.js';
import { includeDir } from './include.js';
import { runtimeText } from './runtime.js';

export interface Flags {
  readonly align: Unit | 'no';
  readonly runtime: boolean;
  readonly verbose: boolean;
  readonly json: boolean;
}

interface Output {
  readonly path: string;
  /**
   * `later`: a key may belong to another object, so the linked file gets the table. `not-made`: the
   * file is not there, or is the one that was there before the compiler ran.
   */
  readonly outcome: Annotated['outcome'] | 'later' | 'no-code' | 'not-made';
  readonly sites: number;
}

export async function run(context: Context, flags: Flags, ...words: string[]): Promise<number> {
  if (words[0] === '') throw new Fault('bad-usage', "the compiler's name is empty", { hint: HINT });
  const compiler = compilerOf(words);
  const expanded = expandResponses(words.slice(compiler.length));
  const made = readCompilation(expanded);
  const links = flags.runtime && made.mode === 'link' && !made.partial && !made.dangling;
  // Asking a compiler what it is costs a process, so it is asked only where that matters.
  const asked = flags.align !== 'no' || links;
  const { name, clang } = asked ? assemblerOf(compiler, expanded, context.env) : UNASKED;
  const aligned = flags.align === 'no' ? [] : alignment(name, made, flags.align);
  const own = flags.runtime ? [RUNTIME_MACRO] : [];
  const more = [`-I${includeDir()}`, ...aligned, ...own];
  const all = made.dangling ? words : withMore(words, more);
  const before = new Map(made.outputs.map((path) => [path, stateOf(path)]));
  const status = links
    ? await linkWithRuntime(context, flags, { compiler, made, more, clang })
    : step(context, flags, all);
  const outputs = status === 0 ? tabulated(before, made) : [];
  if (status === 0) tell(context, flags, outputs, made.mode);
  if (flags.json) context.json('static-call/cc@1', { command: all, status, outputs });
  return status;
}

/** Runs one command, as the user sees it. */
function step(context: Context, { verbose, json }: Flags, command: readonly string[]): number {
  if (verbose) context.note(printable(command.join(' ')));
  // With --json the answer alone is on stdout, so the compiler's goes beside it.
  return start(command, context.env, json ? ['inherit', 2, 'inherit'] : 'inherit').status;
}

/** A link in several commands, up to the first that fails. */
async function linkWithRuntime(
  context: Context,
  flags: Flags,
  link: Omit<Parameters<typeof runtimeLink>[0], 'folder' | 'include'>,
): Promise<number> {
  await using folder = new TemporaryFolder('static-call-cc-');
  writeFileSync(join(folder.path, RUNTIME_FILE), runtimeText());
  const steps = runtimeLink({ ...link, folder: folder.path, include: includeDir() });
  for (const { command, annotated } of steps) {
    const status = step(context, flags, command);
    if (status !== 0) return status;
    if (annotated !== null) tabulate(annotated, true);
  }
  return 0;
}

/** Behind what is there, but before clang's `--`, behind which every word is a file. */
function withMore(words: readonly string[], more: readonly string[]): readonly string[] {
  const end = words.indexOf('--');
  return end < 0 ? [...words, ...more] : [...words.slice(0, end), ...more, ...words.slice(end)];
}

/** Equal for a path before and after the compiler only where the compiler did not write there. */
function stateOf(path: string): string | null {
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
  if (!stats) return null;
  const { dev, ino, size, mtimeNs, ctimeNs } = stats;
  return [dev, ino, size, mtimeNs, ctimeNs].join(':');
}

function tabulated(
  before: ReadonlyMap<string, string | null>,
  { mode, partial }: Compilation,
): Output[] {
  return Array.from(before, ([path, was]) => {
    const now = stateOf(path);
    if (now === null) return { path, outcome: 'not-made', sites: 0 };
    // `-o /dev/null` makes nothing.
    if (!statSync(path, { throwIfNoEntry: false })?.isFile())
      return { path, outcome: 'no-code', sites: 0 };
    return now === was
      ? { path, outcome: 'not-made', sites: 0 }
      : tabulate(path, mode === 'compile' || partial);
  });
}

function tell(
  context: Context,
  flags: Flags,
  outputs: readonly Output[],
  mode: Compilation['mode'],
): void {
  const cure = 'name the output by -o, or give it to static-call annotate';
  if (outputs.length === 0 && mode !== 'other')
    context.note(`cc: it is not known what the compiler made, and nothing got a table; ${cure}`);
  for (const { path, outcome, sites } of outputs) {
    if (outcome === 'not-made')
      context.note(
        `cc: the compiler did not make ${printable(path)}, and it was left as it is; ${cure}`,
      );
    else if (flags.verbose)
      context.note(
        `${printable(path)}: ${SAYS[outcome].replace('%', sites === 1 ? '1 site' : `${sites} sites`)}`,
      );
  }
}

const SAYS: Readonly<Record<Exclude<Output['outcome'], 'not-made'>, string>> = {
  written: '%',
  'no-sites': 'no sites',
  present: '%, from the tables of its objects',
  later: '%, left to the linked file, for a key may belong to another object',
  'no-code': 'no object code',
};
const HINT = 'name a compiler behind --, as in: static-call cc -- gcc -c x.c';

function start(
  words: readonly string[],
  env: Context['env'],
  stdio: StdioOptions,
): { status: number; stdout: string } {
  const [program = '', ...options] = words;
  const done = spawnSync(program, options, { stdio, encoding: 'utf8', env });
  if (done.error)
    throw new Fault('no-compiler', `${program} could not be started: ${done.error.message}`, {
      cause: done.error,
      hint: HINT,
    });
  // A compiler that was killed made nothing; the status is what a shell would say.
  const status = done.status ?? 128 + (done.signal ? constants.signals[done.signal] : 0);
  return { status, stdout: done.stdout };
}

interface Toolchain {
  readonly name: Assembler;
  readonly clang: boolean;
}
const UNASKED: Toolchain = { name: 'gas', clang: false };

/** gcc assembles with gas; clang by itself, unless told otherwise. */
function assemblerOf(
  compiler: readonly string[],
  options: readonly string[],
  env: Context['env'],
): Toolchain {
  const asked = start([...compiler, '--version'], env, ['ignore', 'pipe', 'ignore']);
  const clang = asked.stdout.includes('clang');
  const external = options.includes('-fno-integrated-as') || options.includes('-no-integrated-as');
  return { name: clang && !external ? 'llvm' : 'gas', clang };
}

/** Writes the table, where the file can have one yet. */
function tabulate(path: string, unlinked: boolean): Output {
  const original = readOriginal(path);
  // Intermediate code gets its table when something is linked from it.
  if (!isElf(original.bytes)) return { path, outcome: 'no-code', sites: 0 };
  const object = readElf(original.bytes, path);
  const later = unlinked ? postponed(object) : 0;
  if (later > 0) return { path, outcome: 'later', sites: later };
  const declared = declaredKeys(object);
  const found = decodeSites(object, declared).length;
  const { outcome, bytes: annotated } = annotate(object, {
    force: !unlinked && !complete(object, found),
    declared,
  });
  if (annotated) rewriteFile(original, annotated);
  return { path, outcome, sites: found };
}

/**
 * Whether the table that a linked file got from its objects knows every site: some of them may have
 * come without one.
 */
function complete(object: ElfObject, found: number): boolean {
  try {
    return listedSites(object).length === found;
  } catch (error) {
    if (isFault(error)) return false;
    throw error;
  }
}

/**
 * How many sites wait for the link: an object's table can be linked into anything only if it names
 * no key that another shared object may define or pre-empt, for an entry is a 32-bit distance to
 * the key.
 */
function postponed(object: ElfObject): number {
  const symbols = object.symbols;
  if (!symbols || object.type !== 'relocatable') return 0;
  const hidden = (name: string): boolean => {
    const i = symbols.find(name);
    return i > 0 && symbols.visibility(i) === N.STV_HIDDEN;
  };
  const sites = decodeSites(object);
  const keys = new Map(sites.map(({ key, keySymbol }) => [key, keySymbol]));
  // An undefined key is only ever named by assembly, which knows no visibility: its trampoline
  // tells.
  const near = [...keys].every(
    ([key, symbol]) =>
      symbol === KEY_PREFIX + key && (hidden(symbol) || hidden(TRAMPOLINE_PREFIX + key)),
  );
  return near ? 0 : sites.length;
}
