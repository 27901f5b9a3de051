// The main job in small: the checksum example, its three keys retargeted as fast as it goes while
// its threads run, and every block's sum held against the known one.

import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Fault } from '../base/fault.js';
import { sizeOf } from '../base/file.js';
import { errorName, openNative, type Native } from '../machine/linux/native.js';
import { buildShared } from './build.js';
import { TemporaryFolder } from '../base/folder.js';
import { openWith } from '../app/open.js';
import { DEFAULT_PROTOCOL } from '../plan/protocols/index.js';
import type { Program } from '../app/program.js';
import type { Keys, OpenOptions } from '../app/types.js';

export interface DemoOptions extends OpenOptions {
  readonly seconds: number;
  readonly threads: number;
  /** What is summed; the first 64 MiB of it. */
  readonly file: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  /** Called between batches, ten times a second. */
  readonly onProgress: (
    so: Pick<DemoResult, 'updates' | 'calls' | 'wrong'> & { readonly secondsLeft: number },
  ) => void;
}

/** The value of `demo --json`, schema static-call/demo@1. */
export interface DemoResult {
  readonly protocol: string;
  readonly writer: string;
  readonly threads: number;
  readonly seconds: number;
  readonly calls: number;
  /** Batches; each retargets all three keys. */
  readonly updates: number;
  readonly batchesPerSecond: number;
  readonly traps: number;
  readonly wrong: number;
  /** Sites that call their target themselves, and that reach it through their trampoline. */
  readonly inline: number;
  readonly trampoline: number;
  /**
   * Calls received, by target; `null` and `ret0` are calls that no function receives. A key's targets
   * add up to its calls.
   */
  readonly targets: Readonly<Record<string, number>>;
  /**
   * One call of an empty block's checksum, nanoseconds, before the sites were patched and after.
   */
  readonly callNs: { readonly before: number; readonly after: number };
  /** What had been counted every tenth of a second, from the first update on. */
  readonly timeline: readonly Moment[];
}

export interface Moment {
  readonly seconds: number;
  /** Blocks summed. */
  readonly calls: number;
  readonly updates: number;
  readonly wrong: number;
}

const INCLUDE = fileURLToPath(new URL('../../include', import.meta.url));
const SOURCE = fileURLToPath(new URL('../../examples/checksum/checksum.c', import.meta.url));

/** Each batch is the next of these, all three keys at once. */
const ROUND = {
  checksum: ['crc_table', 'crc_slice8', 'crc_hardware'],
  trace: ['trace_count', null, 'trace_ring'],
  filter: ['filter_third', 'ret0', 'filter_none'],
} as const;

/** The example's functions, as its header declares them. */
interface Example {
  start(threads: number, file: string): number;
  stop(): number;
  count(name: string): number;
  can(target: string): number;
  callNs(key: string): number;
}

function loadExample(native: Native, path: string): Example {
  const library = native.library(path);
  const count = library<(name: string) => number>('int64 checksum_count(str)');
  return {
    start: library('int checksum_start(int, str)'),
    stop: library('int checksum_stop()'),
    count: (name) => Number(count(name)),
    can: library('int checksum_can(str)'),
    callNs: library('double checksum_call_ns(str)'),
  };
}

/** As the example has it. */
const THREADS_MAX = 64;

/**
 * @throws Fault `bad-usage`, `no-compiler`, `compile-failed`, `no-membarrier`, what `open` throws,
 *   `no-such-file`, `unreadable-file`
 */
export async function runDemo(options: DemoOptions): Promise<DemoResult> {
  // Before anything is built: a wrong file must not cost a compilation.
  if (sizeOf(options.file) === 0)
    throw new Fault('unreadable-file', 'is empty: there is nothing to sum', { at: options.file });
  if (options.threads > THREADS_MAX)
    throw new Fault('bad-usage', `threads is ${options.threads}; it can be 1 to ${THREADS_MAX}`);
  await using folder = new TemporaryFolder('static-call-demo-');
  const path = join(folder.path, 'libchecksum.so');
  buildShared({ source: SOURCE, output: path, include: INCLUDE, env: options.env });
  const native = openNative();
  const example = loadExample(native, path);
  const before = example.callNs('checksum');
  const app = openWith(native, path, options);
  const after = example.callNs('checksum');
  const started = example.start(options.threads, options.file);
  if (started !== 0)
    throw new Fault('unreadable-file', `it cannot be summed: ${errorName(started)}`, {
      at: options.file,
    });
  let run: Run;
  try {
    run = await retarget(app, example, options);
  } finally {
    example.stop();
  }
  const { traps } = app;
  app.close();
  return summary(options, example, run, traps, { before, after });
}

interface Run {
  readonly updates: number;
  readonly inline: number;
  readonly trampoline: number;
  readonly seconds: number;
  readonly timeline: readonly Moment[];
}

async function retarget(
  app: Program<Keys>,
  example: Example,
  { seconds, signal, onProgress }: DemoOptions,
): Promise<Run> {
  const choices = ROUND.checksum.filter((name) => example.can(name) === 1);
  let [updates, inline, trampoline] = [0, 0, 0];
  const beganMs = performance.now();
  let shownMs = beganMs;
  const leftMs = (): number => seconds * 1000 - (performance.now() - beganMs);
  const timeline: Moment[] = [];
  const look = (): Moment => {
    const [calls, wrong] = [example.count('checksum'), example.count('wrong')];
    const moment = { seconds: round3((performance.now() - beganMs) / 1000), calls, updates, wrong };
    timeline.push(moment);
    return moment;
  };
  look();
  while (leftMs() > 0 && !signal.aborted) {
    const round = updates % 3;
    ({ inline, trampoline } = app.update({
      checksum: choices[updates % choices.length]!,
      trace: ROUND.trace[round]!,
      filter: ROUND.filter[round]!,
    }));
    updates++;
    if (performance.now() - shownMs > 100) {
      shownMs = performance.now();
      const { calls, wrong } = look();
      onProgress({ updates, calls, wrong, secondsLeft: leftMs() / 1000 });
      await setImmediate();
    }
  }
  look();
  return {
    updates,
    inline,
    trampoline,
    seconds: (performance.now() - beganMs) / 1000,
    timeline,
  };
}

const NAMED = [
  'crc_table',
  'crc_slice8',
  'crc_hardware',
  'trace_count',
  'trace_ring',
  'filter_third',
  'filter_none',
] as const;

function summary(
  { protocol, writer, threads }: DemoOptions,
  example: Example,
  { updates, inline, trampoline, seconds, timeline }: Run,
  traps: number,
  callNs: DemoResult['callNs'],
): DemoResult {
  const received = (...names: string[]): number =>
    names.reduce((sum, name) => sum + example.count(name), 0);
  return {
    protocol: typeof protocol === 'object' ? protocol.name : (protocol ?? DEFAULT_PROTOCOL),
    writer: writer ?? 'procmem',
    threads,
    seconds: round3(seconds),
    calls: received('checksum', 'trace', 'filter'),
    updates,
    batchesPerSecond: Math.round(updates / seconds),
    traps,
    // A checksum call that no target received is as wrong as a wrong sum.
    wrong:
      example.count('wrong') +
      Math.abs(received('checksum') - received('crc_table', 'crc_slice8', 'crc_hardware')),
    inline,
    trampoline,
    targets: {
      ...Object.fromEntries(NAMED.map((name) => [name, example.count(name)])),
      null: received('trace') - received('trace_count', 'trace_ring'),
      ret0: received('filter') - received('filter_third', 'filter_none'),
    },
    callNs: { before: round3(callNs.before), after: round3(callNs.after) },
    timeline,
  };
}

const round3 = (value: number): number => Math.round(value * 1000) / 1000;
