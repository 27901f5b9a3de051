// What a pass over a site may run: the targets that were current at some instant between its first
// fetch and the begin of its call. A window is one word, so that a CPU's part of a state stays a
// few words.

import type { PassNote } from './context.js';
import type { Env } from './environment.js';
import { TARGETS } from './settings.js';
import { bad, type Bad } from './promises.js';

/** Targets current since the first fetch; those allowed; those replaced when the call began. */
const SINCE = 0;
const ALLOWED = 8;
const REPLACED = 16;
const MASK = 0xff;
const BEGUN = 1 << 24;
const LIVE = 1 << 25;

/**
 * What is watched: the passes at one depth of nesting and whether they may run one target, or all
 * of both. Windows only watch: nothing that a CPU or the patcher does depends on them, and each bit
 * of them depends on itself alone. So searches that watch one bit each judge together as one does
 * that watches all, and each of them has a fraction of the states (docs/proof.md).
 */
export interface Watch {
  /** Null for all. */
  readonly level: number | null;
  /** A set of targets. */
  readonly targets: number;
}
export const WATCH_ALL: Watch = { level: null, targets: MASK };

const opened = (env: Env): number => LIVE | (env.current << SINCE);

/** The call begins: what it may run, and what it may no more, is settled. */
function begun(window: number, env: Env): number {
  if ((window & BEGUN) !== 0) return window;
  const since = window & MASK;
  return LIVE | BEGUN | (since << SINCE) | (since << ALLOWED) | ((env.replaced & MASK) << REPLACED);
}

/** A call that began goes on: what has become current since it began may be run too. */
const wentOn = (window: number, env: Env): number =>
  (window & BEGUN) === 0 ? begun(window, env) : window | ((window & MASK) << ALLOWED);

/** A target has become current: a pass under way may run it. */
export const widened = (window: number, targets: number): number =>
  (window & LIVE) === 0 ? window : window | (targets << SINCE);

/** @returns the windows after the note; what it breaks is added to `found` */
export function noted(
  note: PassNote,
  windows: readonly number[],
  env: Env,
  watch: Watch,
  found: Bad[],
): readonly number[] {
  const { level } = note;
  if (note.note === 'trap') {
    if (env.underway === 0)
      found.push(
        bad('trap-fetched-late', 'the trap byte of an update that has returned is fetched'),
      );
    return windows;
  }
  if (watch.level !== null && watch.level !== level) return windows;
  const window = windows[level] ?? 0;
  switch (note.note) {
    case 'open':
      return replaced(windows, level, opened(env));
    case 'begin':
      return replaced(windows, level, restarted(window, env));
    case 'go-on':
      return replaced(windows, level, wentOn(window, env));
    case 'enter': {
      const now = begun(window, env);
      judge(note.target, now, watch, found);
      if ((env.replaced & (1 << note.target)) !== 0)
        found.push(
          bad(
            'entry-after-update',
            `${TARGETS[note.target]} is entered after the update that replaced it has returned`,
          ),
        );
      return replaced(windows, level, now);
    }
    case 'close':
      if (note.ran === 'null' || note.ran === 'ret0')
        judge(TARGETS.indexOf(note.ran), begun(window, env), watch, found);
      return replaced(windows, level, 0);
  }
}

/** A handler may read its target again: the call begins where it does so last. */
const restarted = (window: number, env: Env): number => begun(window & ~BEGUN, env);

function replaced(windows: readonly number[], level: number, window: number): readonly number[] {
  const after = [...windows];
  while (after.length <= level) after.push(0);
  after[level] = window;
  return after;
}

function nameOf(target: number): string {
  const name = TARGETS[target]!;
  switch (name) {
    case 'null':
      return 'nothing';
    case 'ret0':
      return '"return 0"';
    default:
      return name;
  }
}

function judge(target: number, window: number, watch: Watch, found: Bad[]): void {
  if ((watch.targets & (1 << target)) === 0) return;
  const name = nameOf(target);
  if (((window >> ALLOWED) & (1 << target)) === 0)
    found.push(
      bad(
        'target-not-current',
        `the pass runs ${name}, which was not current at any instant since its first fetch`,
      ),
    );
  if (((window >> REPLACED) & (1 << target)) !== 0)
    found.push(
      bad(
        'call-after-update',
        `a call begins after the update that replaced ${name} has returned, and runs it`,
      ),
    );
}
