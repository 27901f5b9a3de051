// Asks the real CPU the programs of plan/litmus.ts, each in a process of its own: what a torn call
// does to that process is a result. Says what was seen in the words of the model, and how often.

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { constants, cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { InvariantError } from '../base/invariant.js';
import { LANDINGS, ORDERS, type LitmusOutcome, type LitmusProgram } from '../plan/litmus.js';
import type { ParsedText } from '../plan/text.js';
import { CALL, little, TEXT, TEXT_SIZE } from './silicon/layout.js';
import {
  CRASH_BYTES,
  CRASHED,
  type SiliconAnswer,
  type SiliconCounts,
  type SiliconTask,
} from './silicon/task.js';

/** What the process raised, and what its second thread had executed, where that can be told. */
export interface Crash {
  readonly signal: string;
  readonly executed: string | null;
}

export interface Seen {
  readonly program: LitmusProgram;
  readonly updates: number;
  readonly calls: number;
  /** Nanoseconds that one word takes between the two CPUs, before the run and after it. */
  readonly distance: readonly number[];
  /** Outcomes that were seen at all, with how often. */
  readonly seen: Readonly<Partial<Record<LitmusOutcome, number>>>;
  /**
   * Torn calls by which bytes of the displacement were the new ones, the lowest first: `0011` is
   * old, old, new, new. A higher digit is a byte that a step planted.
   */
  readonly mixtures: Readonly<Record<string, number>>;
  /** Something was executed that is no landing. */
  readonly crash: Crash | null;
  /** Why it was not asked. */
  readonly skipped: string | null;
}

export interface AskOptions {
  readonly milliseconds: number;
  readonly signal?: AbortSignal;
}

/** CPUs that share a cache are nearer than this; what needs them near is seldom seen beyond it. */
export const NEAR = 200;
export const isFar = (distance: readonly number[]): boolean => Math.max(...distance) > NEAR;

/** One field of /proc/cpuinfo, of the first CPU. */
function field(key: string): string {
  try {
    const info = readFileSync('/proc/cpuinfo', 'utf8');
    return new RegExp(`^${key}\\s*: (.*)$`, 'm').exec(info)?.[1] ?? '?';
  } catch {
    return '?';
  }
}

/** What this CPU calls itself. */
export function cpuName(): string {
  const name = cpus()[0]?.model ?? 'unknown';
  const { family, model, stepping } = cpuOf();
  return family === '?' ? name : `${name} (family ${family}, model ${model}, stepping ${stepping})`;
}

/** What a record says of a CPU. */
export const cpuOf = (): Record<'family' | 'model' | 'stepping' | 'microcode', string> => ({
  family: field('cpu family'),
  model: field('model'),
  stepping: field('stepping'),
  microcode: field('microcode'),
});

/** Why no CPU can be asked here, or null. */
export function whyNot(): string | null {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    return `this is ${process.platform} on ${process.arch}`;
  return cpus().length < 2 ? 'there is one CPU' : null;
}

/** Why a CPU of this kind is not asked that program. */
function lacking(program: LitmusProgram): string | null {
  const needs = program.watch === 'order' && program.reads.includes('serialize');
  return needs && !field('flags').split(' ').includes('serialize')
    ? 'this CPU has no SERIALIZE'
    : null;
}

/** How a process ended, and what it wrote. */
interface Ended {
  readonly status: number | null;
  readonly killed: NodeJS.Signals | null;
  readonly output: Buffer;
  readonly said: string;
}

async function run(task: SiliconTask, signal: AbortSignal | undefined): Promise<Ended> {
  const path = fileURLToPath(new URL('./silicon/run.js', import.meta.url));
  const child = spawn(process.execPath, [path, JSON.stringify(task)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(signal ? { signal } : {}),
    timeout: 60_000 + 20 * task.milliseconds,
    killSignal: 'SIGKILL',
  });
  const output: Buffer[] = [];
  let said = '';
  child.stdout.on('data', (data: Buffer) => output.push(data));
  child.stderr.on('data', (data: Buffer) => (said += data.toString()));
  const [status, killed] = await new Promise<[number | null, NodeJS.Signals | null]>(
    (resolve, reject) => {
      child.on('error', reject);
      child.on('close', (...ended) => resolve(ended));
    },
  );
  return { status, killed, output: Buffer.concat(output), said };
}

function answerOf({ status, output, said }: Ended, what: string): SiliconAnswer {
  if (status !== 0)
    throw new InvariantError(`asking the CPU ${what} ended with status ${status}: ${said.trim()}`);
  return JSON.parse(output.toString()) as SiliconAnswer;
}

/**
 * Nanoseconds that one word takes from one CPU to the other and back; null where there is no pair.
 */
export async function distance(signal?: AbortSignal): Promise<number | null> {
  if (whyNot() !== null) return null;
  const ended = await run({ program: null, milliseconds: 0 }, signal);
  if (ended.killed !== null) return null;
  const answer = answerOf(ended, 'for its distance');
  return answer.skipped === undefined ? (answer.distance[0] ?? null) : null;
}

/** Asks again for so long until the CPUs are near. @returns the last distance */
export async function waitForNear(seconds: number, signal?: AbortSignal): Promise<number | null> {
  const until = performance.now() + 1000 * seconds;
  for (;;) {
    const now = await distance(signal);
    const left = until - performance.now();
    if (now === null || now <= NEAR || left <= 0) return now;
    await sleep(Math.min(1000, left), undefined, signal ? { signal } : {});
  }
}

export async function ask(
  program: LitmusProgram,
  { milliseconds, signal }: AskOptions,
): Promise<Seen> {
  const nothing: Seen = {
    program,
    updates: 0,
    calls: 0,
    distance: [],
    seen: {},
    mixtures: {},
    crash: null,
    skipped: lacking(program),
  };
  if (nothing.skipped !== null) return nothing;
  const ended = await run({ program, milliseconds }, signal);
  if (ended.killed === 'SIGKILL') return { ...nothing, skipped: 'it did not end in time' };
  const crash = crashOf(ended);
  if (crash !== null) return { ...nothing, seen: { mixed: 1 }, crash };
  const answer = answerOf(ended, program.name);
  if (answer.skipped !== undefined) return { ...nothing, skipped: answer.skipped };
  const { updates = 0, calls = 0, traps = 0, counts = {} } = answer.counts ?? {};
  return {
    ...nothing,
    updates,
    calls,
    distance: answer.distance,
    seen: classify(program, counts, traps),
    mixtures: program.watch === 'landing' ? mixturesOf(program, counts) : {},
  };
}

/** Executed was something that is neither instruction, and no landing either. */
function crashOf({ status, killed, output }: Ended): Crash | null {
  if (killed !== null) return { signal: killed, executed: null };
  if (status !== CRASHED || output.length < CRASH_BYTES) return null;
  const [at, number, behind] = [0, 8, 16].map((from) => Number(output.readBigUInt64LE(from)));
  if (at === undefined || behind === undefined) return null;
  const found = Object.entries(constants.signals).find(([, value]) => value === number);
  const signal = found?.[0] ?? `signal ${number}`;
  const site = { at: behind - 1, bytes: [...output.subarray(24, 32)] };
  return { signal, executed: executedAt(at, site, signal === 'SIGTRAP') };
}

interface Site {
  readonly at: number;
  readonly bytes: readonly number[];
}

/**
 * Where a branch ended says which bytes it had: outside the text a call ended, and inside it, among
 * trap bytes, a short jump. Anything else was executed where it stands.
 */
function executedAt(at: number, site: Site, trapped: boolean): string | null {
  const far = at - (site.at + SITE_BYTES);
  if (at < TEXT || at >= TEXT + TEXT_SIZE)
    return Math.abs(far) < 2 ** 31 ? hex([CALL, ...little(far)]) : null;
  const near = at - 1 - (site.at + SHORT_JUMP);
  if (trapped && Math.abs(near) < 128) return hex([0xeb, near & 0xff]);
  const from = at - site.at;
  return from >= 0 && from < SITE_BYTES ? hex(site.bytes.slice(from)) : null;
}
const SITE_BYTES = 5;
const SHORT_JUMP = 2;

const hex = (bytes: readonly number[]): string =>
  bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');

type Counts = SiliconCounts['counts'];

/** Whether what a call reached is one of the two instructions, whole. */
const isWhole = (program: LitmusProgram, name: string): boolean => {
  if (program.watch === 'data') return name !== 'neither';
  if (program.watch === 'order') return false;
  if (program.watch === 'landing' && program.text !== undefined)
    return runsIn(program.text).has(name);
  const off = program.from === 'call' ? '0000' : 'through';
  return name === '1111' || name === off || (name === 'through' && plants(program));
};
/** What a pass through some state runs, as it is counted. */
const runsIn = ({ states }: ParsedText): ReadonlySet<string> =>
  new Set(states.map(({ runs }) => (runs === 'null' || runs === 'ret0' ? 'through' : runs)));
/** What a step plants over the beginning may do nothing. */
const plants = ({ steps }: { readonly steps: readonly { readonly do: string }[] }): boolean =>
  steps.some((step) => step.do === 'store-head');

function classify(program: LitmusProgram, counts: Counts, traps: number): Seen['seen'] {
  const sum = (take: (name: string) => boolean): number =>
    Object.entries(counts).reduce((all, [name, n]) => (take(name) ? all + n : all), 0);
  const rows: readonly (readonly [LitmusOutcome, number])[] =
    program.watch === 'order'
      ? ORDERS.map((outcome) => [outcome, counts[outcome] ?? 0])
      : [
          [LANDINGS[0], sum((name) => isWhole(program, name))],
          [LANDINGS[1], sum((name) => !isWhole(program, name))],
          [LANDINGS[2], traps],
        ];
  return Object.fromEntries(rows.filter(([, n]) => n > 0));
}

const mixturesOf = (program: LitmusProgram, counts: Counts): Seen['mixtures'] =>
  Object.fromEntries(Object.entries(counts).filter(([name]) => !isWhole(program, name)));
