// Tells changes of targets in processes that run, and calls that were emulated, as they happen. They
// are read from outside four times a second: nothing of a process is stopped.

import { setTimeout } from 'node:timers/promises';
import { Watched, type KeyLook } from '../../app/look.js';
import { EXIT, isFault } from '../../base/fault.js';
import type { Context } from '../context.js';
import { processesOf, titleOf, type ProcessFlags } from '../processes.js';

export interface Flags extends ProcessFlags {
  /** End after so long; otherwise at Ctrl-C, or when every process has ended. */
  readonly seconds?: number;
}

const EVERY_MS = 250;

interface Watch {
  readonly pid: number;
  readonly watched: Watched;
  before: ReadonlyMap<string, KeyLook>;
}

export async function run(
  context: Context,
  flags: Flags,
  ...words: readonly string[]
): Promise<number> {
  let watches = processesOf(words, flags).map((pid): Watch => {
    const watched = new Watched(pid, flags);
    return { pid, watched, before: byName(watched.look().keys) };
  });
  for (const { pid, watched } of watches)
    context.note(`watching ${titleOf(pid, watched.look().exe)}`);
  const until = performance.now() + (flags.seconds ?? Infinity) * 1000;
  while (watches.length > 0 && performance.now() < until && !context.signal.aborted) {
    await setTimeout(EVERY_MS);
    watches = watches.filter((watch) => tell(context, flags, watch));
  }
  for (const { watched } of watches) watched[Symbol.dispose]();
  return EXIT.good;
}

const byName = (keys: readonly KeyLook[]): ReadonlyMap<string, KeyLook> =>
  new Map(keys.map((key) => [key.name, key]));

/** @returns whether it still runs */
function tell(context: Context, flags: Flags, watch: Watch): boolean {
  const { pid, watched, before } = watch;
  try {
    const now = watched.look();
    for (const key of now.keys) {
      const then = before.get(key.name);
      if (!then || (then.target === key.target && then.traps === key.traps)) continue;
      const change = { pid, key: key.name, from: then.target, to: key.target };
      const emulated = key.traps - then.traps;
      if (flags.json) context.json('static-call/watch@1', { ...change, emulated });
      else context.print(lineOf(titleOf(pid, now.exe), change, emulated));
    }
    watch.before = byName(now.keys);
    return true;
  } catch (error) {
    if (!isFault(error)) throw error;
    context.note(`${pid}: ${error.message}`);
    watched[Symbol.dispose]();
    return false;
  }
}

function lineOf(
  title: string,
  { key, from, to }: { key: string; from: string | null; to: string | null },
  emulated: number,
): string {
  const what =
    from === to ? `${key}: ${to ?? 'null'}` : `${key}: ${from ?? 'null'} -> ${to ?? 'null'}`;
  return `${title}: ${what}${emulated > 0 ? `, ${emulated} emulated` : ''}`;
}
