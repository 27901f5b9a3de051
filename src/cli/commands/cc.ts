// A compiler's command, run as it stands with a few words more, and its result annotated: the one
// line by which a C project adopts static calls. The compiler's own words and status pass through.

import { spawn, type StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import type { Unit } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { printable } from '../../base/printable.js';
import { codeOf } from '../../host/code.js';
import {
  alignment,
  compilerOf,
  readCompilation,
  type Assembler,
  type Compilation,
  type Word,
} from '../../host/compilation.js';
import { expandResponses } from '../../host/response.js';
import type { RuntimeLink } from '../../host/runtime-link.js';
import type { Tabulated } from '../../host/tabulate.js';
import { familyOf } from '../../host/toolchain.js';
import type { Context } from '../context.js';
import { includeDir } from './include.js';

export interface Flags {
  readonly align: Unit | 'no';
  readonly runtime: boolean;
  readonly verbose: boolean;
  readonly json: boolean;
}

interface Output {
  readonly path: string;
  /** `not-made`: the file is not there, or is the one that was there before the compiler ran. */
  readonly outcome: Tabulated['outcome'] | 'no-code' | 'not-made';
  readonly sites: number;
}

export async function run(context: Context, flags: Flags, ...words: string[]): Promise<number> {
  if (words[0] === '') throw new Fault('bad-usage', "the compiler's name is empty", { hint: HINT });
  const compiler = compilerOf(words);
  const expanded = expandResponses(words.slice(compiler.length));
  const made = readCompilation(expanded);
  const links = flags.runtime && made.mode === 'link' && !made.partial && !made.dangling;
  // What the compiler is may cost a process, so it is asked only where that matters.
  const asked = flags.align !== 'no' || links;
  const { name, clang } = asked ? await assemblerOf(compiler, made, context.env) : UNASKED;
  const aligned = flags.align === 'no' ? [] : alignment(name, made, flags.align);
  const own = flags.runtime ? [(await import('../../host/runtime-link.js')).RUNTIME_MACRO] : [];
  const more = [`-I${includeDir()}`, ...aligned, ...own];
  const all = made.dangling ? words : withMore(words, more);
  const before = new Map(made.outputs.map((path) => [path, stateOf(path)]));
  // Settled either way: what cannot be loaded now is told of where it is needed.
  const ahead = Promise.allSettled(
    made.words.some(mayCall)
      ? [import('../../host/tabulate.js').then(({ prepare }) => prepare())]
      : [],
  );
  const status = links
    ? await linkWithRuntime(context, flags, { compiler, made, more, clang })
    : await step(context, flags, all);
  await ahead;
  const outputs = status === 0 ? await tabulated(before, made) : [];
  if (status === 0) tell(context, flags, outputs, made.mode);
  if (flags.json) context.json('static-call/cc@1', { command: all, status, outputs });
  return status;
}

/** Whether a source speaks of static calls itself; by a header it may do so unseen. */
function mayCall({ is, text }: Word): boolean {
  try {
    return is === 'source' && statSync(text).isFile() && readFileSync(text).includes('static_call');
  } catch {
    return false;
  }
}

/** Runs one command, as the user sees it. */
async function step(
  context: Context,
  { verbose, json }: Flags,
  command: readonly string[],
): Promise<number> {
  if (verbose) context.note(printable(command.join(' ')));
  // With --json the answer alone is on stdout, so the compiler's goes beside it.
  const { status } = await start(
    command,
    context.env,
    json ? ['inherit', 2, 'inherit'] : 'inherit',
  );
  return status;
}

/** A link in several commands, up to the first that fails. */
async function linkWithRuntime(
  context: Context,
  flags: Flags,
  link: Omit<RuntimeLink, 'folder' | 'include'>,
): Promise<number> {
  // Only here: the runtime's text is made by all of the code that a process gets.
  const { TemporaryFolder } = await import('../../base/folder.js');
  const { RUNTIME_FILE, runtimeLink } = await import('../../host/runtime-link.js');
  const { runtimeText } = await import('./runtime.js');
  await using folder = new TemporaryFolder('static-call-cc-');
  writeFileSync(join(folder.path, RUNTIME_FILE), runtimeText());
  const steps = runtimeLink({ ...link, folder: folder.path, include: includeDir() });
  for (const { command, annotated } of steps) {
    const status = await step(context, flags, command);
    if (status !== 0) return status;
    if (annotated !== null) await tabulateFile(annotated, true);
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

async function tabulated(
  before: ReadonlyMap<string, string | null>,
  { mode, partial }: Compilation,
): Promise<Output[]> {
  const outputs: Output[] = [];
  for (const [path, was] of before) {
    const now = stateOf(path);
    // A device, as in `-o /dev/null`, has no state that tells.
    if (now === null || (now === was && statSync(path).isFile()))
      outputs.push({ path, outcome: 'not-made', sites: 0 });
    else outputs.push(await tabulateFile(path, mode === 'compile' || partial));
  }
  return outputs;
}

/** Writes the table, where the file can have one yet. */
export async function tabulateFile(path: string, unlinked: boolean): Promise<Output> {
  const code = codeOf(path);
  if (typeof code === 'string') return { path, outcome: code, sites: 0 };
  const { tabulate } = await import('../../host/tabulate.js');
  return { path, ...tabulate(code, path, unlinked) };
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

async function start(
  words: readonly string[],
  env: Context['env'],
  stdio: StdioOptions,
): Promise<{ status: number; stdout: string }> {
  const [program = '', ...options] = words;
  const said: Buffer[] = [];
  try {
    const child = spawn(program, options, { stdio, env });
    child.stdout?.on('data', (piece: Buffer) => said.push(piece));
    const [status, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
    // A compiler that was killed made nothing; the status is what a shell would say.
    return {
      status: status ?? 128 + (signal ? constants.signals[signal] : 0),
      stdout: Buffer.concat(said).toString(),
    };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Fault('no-compiler', `${program} could not be started: ${why}`, {
      cause: error,
      hint: HINT,
    });
  }
}

interface Toolchain {
  readonly name: Assembler;
  readonly clang: boolean;
}
const UNASKED: Toolchain = { name: 'gas', clang: false };

/** gcc assembles with gas; clang by itself, unless told otherwise. */
async function assemblerOf(
  compiler: readonly string[],
  { external }: Compilation,
  env: Context['env'],
): Promise<Toolchain> {
  const family = familyOf(compiler.at(-1) ?? '', env['PATH'] ?? '');
  const clang = family ? family === 'clang' : await saysClang(compiler, env);
  return { name: clang && !external ? 'llvm' : 'gas', clang };
}

async function saysClang(compiler: readonly string[], env: Context['env']): Promise<boolean> {
  const { stdout } = await start([...compiler, '--version'], env, ['ignore', 'pipe', 'ignore']);
  return stdout.includes('clang');
}
