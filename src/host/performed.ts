// A protocol performed by real threads: its steps change a call of one target into a call of
// another and back, while a second thread executes it. Slices of it with the fetcher held up and
// without, and between them a control whose stores every CPU tears, so that it is known whether the
// two threads met at all.

import { performance } from 'node:perf_hooks';
import { Fault } from '../base/fault.js';
import { INT3 } from '../asm/table.js';
import { Batch } from '../plan/batch.js';
import type { LandingProgram, LitmusOutcome } from '../plan/litmus.js';
import { LITMUS, STALL } from '../plan/litmus.js';
import { narrowed, type Protocol, type Step } from '../plan/protocol.js';
import { parseText, type ParsedText } from '../plan/text.js';
import { wayOf } from '../plan/way.js';
import { waysOf } from '../plan/ways.js';
import { ask, type Crash } from './litmus.js';
import { contentsOf, TEXT } from './silicon/layout.js';
import { whyNotStep } from './silicon/writer.js';

/** What was counted in all slices. */
export interface Performed {
  readonly program: LandingProgram;
  readonly seconds: number;
  readonly updates: number;
  readonly calls: number;
  readonly seen: Readonly<Partial<Record<LitmusOutcome, number>>>;
  readonly mixtures: Readonly<Partial<Record<string, number>>>;
  /** Nanoseconds between the CPUs, before and after each slice. */
  readonly distance: readonly number[];
  /** Of five stores, byte by byte, at the same place: torn calls, and all. */
  readonly control: { readonly torn: number; readonly calls: number };
  readonly crash: Crash | null;
  readonly skipped: string | null;
}

const CHECKED = 'leave out --litmus: it can be checked, and not performed';

const CONTROL = 'bytes';
const SLICE_MS = 500;
const CONTROL_MS = 100;

/**
 * The program that performs a protocol at a place.
 * @throws Fault `not-supported` where threads of a process cannot take its steps
 */
export function programOf(
  title: string,
  protocol: Protocol,
  offset: number,
  dropSync: number | null,
): LandingProgram {
  if (protocol.sites === 2)
    throw new Fault('not-supported', `${title} has two sites, and one is performed`, {
      at: 'sites',
      hint: CHECKED,
    });
  const text = textOf(title, protocol);
  const { steps } = narrowed(protocol, text === null ? wayAt(protocol, offset) : 0);
  for (const [i, step] of steps.entries()) {
    const missing = whyNotStep(step);
    if (missing !== null)
      throw new Fault('not-supported', `two threads of a process cannot perform it: ${missing}`, {
        at: `steps[${i}]`,
        hint: CHECKED,
      });
  }
  return {
    name: title,
    about: protocol.about,
    from: 'call',
    offset,
    steps: steps.filter(kept(dropSync)),
    watch: 'landing',
    ...(text === null ? {} : { text }),
  };
}

/** The text that the protocol brings, or null: then a call is changed. */
function textOf(title: string, { text = {} }: Protocol): ParsedText | null {
  const refused = (at: string, what: string): Fault =>
    new Fault('not-supported', `${title} ${what}`, { at, hint: CHECKED });
  if (text.also !== undefined)
    throw refused('text.also', 'may execute other instructions, which no landing pad tells apart');
  const parsed = parseText(text);
  if (parsed !== null && parsed.freshLength > 0)
    throw refused('text.states[0].fresh', 'stores fresh code, and here only the site is written');
  // The handler tries again until the trap is gone, and counts in registers that must be its own.
  const resting = parsed?.states.findIndex(({ bytes, trap }) => bytes[0] === INT3 || trap !== null);
  if (resting !== undefined && resting >= 0)
    throw refused(`text.states[${resting}]`, 'rests with a trap, which is only taken back here');
  const taken = parsed?.changes.find((name) => COUNTING.has(name));
  if (taken !== undefined) throw refused('text.changes', `changes ${taken}, which is counted in`);
  return parsed;
}
const COUNTING = new Set(['rbx', 'r9']);

/** The way that a site goes whose call is changed there. */
function wayAt({ ways = [] }: Protocol, offset: number): number {
  const [old = [], fresh = []] = contentsOf({ from: 'call' });
  const edit = new Batch(1);
  edit.count = 1;
  edit.at[0] = TEXT + offset;
  edit.length[0] = old.length;
  edit.old.set(old);
  edit.new.set(fresh);
  return wayOf(edit, 0, 'call', waysOf(ways));
}

function kept(dropSync: number | null): (step: Step) => boolean {
  let syncs = 0;
  return (step) => step.do !== 'sync' || ++syncs !== dropSync;
}

/** Performs it for so long. Ends early where it crashes, or cannot be performed. */
export async function perform(
  program: LandingProgram,
  seconds: number,
  signal: AbortSignal | undefined,
): Promise<Performed> {
  const control = {
    ...LITMUS.find(({ name }) => name === CONTROL),
    offset: program.offset,
  } as LandingProgram;
  const stop = signal === undefined ? {} : { signal };
  let all: Performed = {
    program,
    seconds,
    updates: 0,
    calls: 0,
    seen: {},
    mixtures: {},
    distance: [],
    control: { torn: 0, calls: 0 },
    crash: null,
    skipped: null,
  };
  const until = performance.now() + 1000 * seconds;
  for (let slice = 0; ; slice++) {
    const left = until - performance.now();
    if (slice > 0 && left < SLICE_MS / 10) return all;
    const milliseconds = Math.round(Math.max(SLICE_MS / 10, Math.min(SLICE_MS, left)));
    const asked = slice % 2 === 0 ? program : { ...program, stall: STALL };
    const part = await ask(asked, { milliseconds, ...stop });
    const beside = await ask(control, { milliseconds: CONTROL_MS, ...stop });
    all = {
      ...all,
      updates: all.updates + part.updates,
      calls: all.calls + part.calls,
      seen: added(all.seen, part.seen),
      mixtures: added(all.mixtures, part.mixtures),
      distance: [...all.distance, ...part.distance],
      control: {
        torn: all.control.torn + (beside.seen.mixed ?? 0),
        calls: all.control.calls + beside.calls,
      },
      crash: part.crash,
      skipped: part.skipped,
    };
    if (part.crash !== null || part.skipped !== null) return all;
  }
}

function added<K extends string>(
  a: Readonly<Partial<Record<K, number>>>,
  b: Readonly<Partial<Record<K, number>>>,
): Partial<Record<K, number>> {
  const sum: Partial<Record<K, number>> = { ...a };
  for (const name in b) sum[name] = (sum[name] ?? 0) + (b[name] ?? 0);
  return sum;
}
