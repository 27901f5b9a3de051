// Counts the calls of keys of processes that run, for a while. Keys go back to their targets
// however the command ends, but by SIGKILL.

import { setTimeout } from 'node:timers/promises';
import { attach } from '../../app/index.js';
import type { Attached, Keys, Trace } from '../../app/types.js';
import { Fault } from '../../base/fault.js';
import type { Context } from '../context.js';
import { answerEach, processesOf, titleOf, type ProcessFlags } from '../processes.js';

export interface Flags extends ProcessFlags {
  readonly file?: string;
  readonly seconds: number;
}

interface Answer {
  readonly pid: number;
  readonly exe: string;
  readonly traces: readonly Pick<
    Trace,
    'key' | 'target' | 'calls' | 'ns' | 'perSecond' | 'retargeted'
  >[];
}

/** Node ends by these where nothing listens, and the keys would stay with their counters. */
const ENDING = ['SIGTERM', 'SIGHUP'] as const;

export async function run(
  context: Context,
  flags: Flags,
  ...words: readonly string[]
): Promise<number> {
  const isPid = (word: string): boolean => /^\d/.test(word);
  const keys = words.filter((word) => !isPid(word));
  if (keys.length === 0)
    throw new Fault('bad-usage', 'no key is named', {
      hint: 'write a process and its keys, as in: static-call trace 4711 route',
    });
  const pids = processesOf(words.filter(isPid), flags);
  const ended = new AbortController();
  const end = (): void => ended.abort();
  const signal = AbortSignal.any([context.signal, ended.signal]);
  for (const name of ENDING) process.on(name, end);
  const counting = new Map(pids.map((pid) => [pid, begin(pid, keys, flags)]));
  try {
    const begun = [...counting.values()].some(({ app }) => app !== null);
    const ms = Math.min(flags.seconds * 1000, LONGEST_MS);
    if (begun) await setTimeout(ms, undefined, { signal }).catch(() => {});
    return answerEach(
      context,
      flags,
      'static-call/trace@1',
      pids,
      (pid) => answerOf(pid, counting.get(pid)),
      show,
    );
  } finally {
    for (const { release } of counting.values()) release();
    for (const name of ENDING) process.off(name, end);
  }
}

/** A timer of more milliseconds ends at once. */
const LONGEST_MS = 2 ** 31 - 1;

interface Begun {
  readonly app: Attached<Keys> | null;
  readonly traces: readonly Trace[];
  /** Why it did not begin. */
  readonly error: unknown;
  release(): void;
}

/** What is refused in one process is told with the answers, when the others have been counted. */
function begin(pid: number, keys: readonly string[], { object, file }: Flags): Begun {
  const traces: Trace[] = [];
  let app: Attached<Keys> | null = null;
  const release = (): void => {
    try {
      for (const trace of traces) trace.stop();
    } finally {
      app?.detach();
    }
  };
  try {
    app = attach(pid, { ...(object && { object }), ...(file && { file }) });
    for (const key of keys) traces.push(app.trace(key));
    return { app, traces, error: null, release };
  } catch (error) {
    release();
    return { app: null, traces: [], error, release: () => {} };
  }
}

function answerOf(pid: number, begun: Begun | undefined): Answer {
  if (!begun?.app) throw begun?.error;
  for (const trace of begun.traces) trace.stop();
  const traces = begun.traces.map(({ key, target, calls, ns, perSecond, retargeted }) => ({
    key,
    target,
    calls,
    ns,
    perSecond,
    retargeted,
  }));
  return { pid, exe: begun.app.path, traces };
}

function show({ pid, exe, traces }: Answer): string {
  return traces
    .map(({ key, target, calls, ns, perSecond, retargeted }) => {
      const seconds = (ns / 1e9).toFixed(3);
      const figures = `${calls} calls in ${seconds} s, ${Math.round(perSecond)} a second`;
      const until = retargeted ? '; it was retargeted meanwhile, and counted until then' : '';
      return `${titleOf(pid, exe)}: ${key} -> ${target ?? 'null'}: ${figures}${until}`;
    })
    .join('\n');
}
