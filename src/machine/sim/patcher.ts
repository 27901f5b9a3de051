// The patcher: the very steps of a protocol, taken apart into what other CPUs can tell from each
// other. One step of a real process is one to several operations here: a store of several bytes is
// as many stores as the width of the configuration makes of it, a synchronisation is a request and
// a wait.

import { INT3 } from '../../asm/table.js';
import { Fault } from '../../base/fault.js';
import { didYouMean } from '../../base/nearest.js';
import { unreachable } from '../../base/invariant.js';
import { FIELD } from '../../plan/draw.js';
import type { Step } from '../../plan/protocol.js';
import { POKE } from '../../trap/kernel.js';
import { STORES, type StoreWidth } from './text.js';
import type { Write } from './space.js';
import type { Fixture } from './fixture.js';
import type { FixtureSite } from './sites.js';

interface Origin {
  /** Index of the step in its protocol; -1 for what the update itself does. */
  readonly step: number;
  /** 1 for the first update. */
  readonly update: number;
  readonly why: string;
}

export type Op = Origin &
  (
    | {
        readonly op: 'store';
        readonly at: number;
        readonly bytes: readonly number[];
        readonly locked: boolean;
      }
    | { readonly op: 'write'; readonly write: Write }
    /** LOCKed, on a word of the shared data. */
    | { readonly op: 'count'; readonly word: number; readonly by: number }
    | { readonly op: 'exchange'; readonly word: number; readonly from: number; readonly to: number }
    /**
     * `retry` goes to another operation unless the word is that; it is the `slot`th of its update
     * that does.
     */
    | { readonly op: 'await'; readonly word: number; readonly is: number }
    | {
        readonly op: 'retry';
        readonly word: number;
        readonly is: number;
        readonly to: number;
        readonly times: number;
        readonly slot: number;
      }
    /** The new target may be called from here. */
    | { readonly op: 'current'; readonly target: number }
    /** The update returns: the old target may not be called any more. */
    | { readonly op: 'return'; readonly target: number }
    | { readonly op: 'lock' | 'unlock' | 'send' | 'wait' | 'barrier' | 'stop' | 'stopped' }
    /** Where the patcher is a task: it serialises its own CPU; it passes the site itself. */
    | { readonly op: 'self' | 'pass' }
    | { readonly op: 'release'; readonly serialise: boolean }
  );

export interface PatcherOptions {
  readonly steps: readonly Step[];
  readonly store: StoreWidth;
  /** Number, from 1, of the synchronisation to leave out in every update. */
  readonly dropSync: number | null;
  /** Each update takes the updaters' lock (text_mutex) first. */
  readonly lock?: boolean;
  /** The patcher is a task on a CPU. */
  readonly hosted?: boolean;
}

export function compile(
  fixture: Fixture,
  { steps, store, dropSync, lock = false, hosted = false }: PatcherOptions,
): Op[] {
  const ops: Op[] = [];
  for (let update = 1; update < fixture.sequence.length; update++) {
    let syncs = 0;
    let published = false;
    let head: readonly number[] = [];
    let retries = 0;
    const begins: number[] = [];
    const text = (origin: Origin, at: number, bytes: readonly number[], locked: boolean) => {
      for (const part of split(at, bytes, STORES[store]))
        ops.push({ ...origin, op: 'store', ...part, locked });
    };
    const target = fixture.sequence[update] as number;
    if (lock) ops.push({ step: -1, update, why: 'one updater at a time', op: 'lock' });
    const publication = (origin: Origin) => {
      if (!published) ops.push({ ...origin, op: 'current', target });
      published = true;
    };
    steps.forEach((step, index) => {
      const origin: Origin = { step: index, update, why: step.why };
      begins.push(ops.length);
      switch (step.do) {
        case 'publish':
          publication(origin);
          for (const write of fixture.publish(update)) ops.push({ ...origin, op: 'write', write });
          break;
        case 'retire':
          for (const write of fixture.retire()) ops.push({ ...origin, op: 'write', write });
          break;
        case 'store':
          publication(origin);
          for (const site of fixture.sites)
            for (const piece of pieces(site, step, update)) {
              if (step.as === 'bytes')
                for (const [i, byte] of piece.bytes.entries())
                  text(origin, piece.at + i, [byte], false);
              else text(origin, piece.at, piece.bytes, exchanges(step, site, piece));
            }
          break;
        case 'sync':
          if (++syncs === dropSync) break;
          if (fixture.environment === 'user' && fixture.rules.barrierPassesHandlers)
            ops.push({ ...origin, op: 'barrier' });
          else
            ops.push(
              { ...origin, op: 'send' },
              ...(hosted ? [{ ...origin, op: 'self' } as const] : []),
              { ...origin, op: 'wait' },
            );
          break;
        case 'stop':
          ops.push({ ...origin, op: 'stop' }, { ...origin, op: 'stopped' });
          break;
        case 'release':
          ops.push({ ...origin, op: 'release', serialise: step.serialise });
          break;
        case 'store-head':
          publication(origin);
          head = step.bytes;
          for (const { at } of fixture.sites) text(origin, at, head, false);
          break;
        case 'store-tail':
          for (const { at, contents } of fixture.sites)
            for (const [i, byte] of (contents[update] as readonly number[]).entries())
              if (i >= head.length) text(origin, at + i, [byte], false);
          break;
        case 'restore-head':
          for (const { at, contents } of fixture.sites)
            text(origin, at, (contents[update] as readonly number[]).slice(0, head.length), false);
          break;
        case 'count':
          ops.push({ ...origin, op: 'count', word: word(fixture, step.word, index), by: step.by });
          break;
        case 'await':
          ops.push({ ...origin, op: 'await', word: word(fixture, step.word, index), is: step.is });
          break;
        case 'exchange':
          ops.push({
            ...origin,
            op: 'exchange',
            word: word(fixture, step.word, index),
            from: step.from,
            to: step.to,
          });
          break;
        case 'retry':
          ops.push({
            ...origin,
            op: 'retry',
            word: word(fixture, step.word, index),
            is: step.is,
            to: begins[step.to] as number,
            times: step.times,
            slot: retries++,
          });
          break;
        default:
          unreachable(step);
      }
    });
    const origin: Origin = { step: -1, update, why: 'the update returns' };
    publication(origin);
    ops.push({ ...origin, op: 'return', target });
    if (lock) ops.push({ ...origin, op: 'unlock' });
    if (hosted) ops.push({ step: -1, update, why: 'who has updated calls too', op: 'pass' });
  }
  if (fixture.options.spin)
    ops.push({
      step: -1,
      update: fixture.sequence.length - 1,
      why: "the updater's lock is free again",
      op: 'write',
      write: { word: POKE.lock / 8, value: 0n },
    });
  return ops;
}

function word(fixture: Fixture, name: string, index: number): number {
  const found = fixture.word(name);
  if (found !== null) return found;
  const known = Object.keys(fixture.options.handler?.words ?? {});
  throw new Fault('bad-protocol', `its handler shares no word ${name}`, {
    at: `steps[${index}].word`,
    hint:
      known.length === 0
        ? 'it shares none'
        : (didYouMean(name, known) ?? `one of ${known.join(', ')}`),
  });
}

/**
 * Where only the displacement of a five-byte branch changes, `exchange` is one plain store: no
 * neighbour's byte could be lost (native/stores.ts).
 */
function exchanges(step: Step & { do: 'store' }, site: FixtureSite, piece: Piece): boolean {
  const from = piece.at - site.at;
  const narrow = from >= FIELD.from && from + piece.bytes.length <= FIELD.to;
  return step.as === 'exchange' && !narrow;
}

interface Piece {
  readonly at: number;
  readonly bytes: readonly number[];
}

function pieces(site: FixtureSite, step: Step & { do: 'store' }, update: number): Piece[] {
  const old = site.contents[update - 1] as readonly number[];
  const fresh = site.contents[update] as readonly number[];
  const source =
    step.bytes === 'trap' ? [INT3, ...old.slice(1)] : step.bytes === 'old' ? old : fresh;
  const { length } = fresh;
  switch (step.part) {
    case 'first':
      return [{ at: site.at, bytes: source.slice(0, 1) }];
    case 'rest':
      return [{ at: site.at + 1, bytes: source.slice(1) }];
    case 'whole':
      return [{ at: site.at, bytes: source }];
    case 'changed': {
      let from = 0;
      let to = length;
      while (from < to && old[from] === source[from]) from++;
      while (to > from && old[to - 1] === source[to - 1]) to--;
      if (from === to) return [];
      const piece = { at: site.at + from, bytes: source.slice(from, to) };
      return [exchanges(step, site, piece) ? { at: site.at, bytes: source } : piece];
    }
  }
}

/** Cut at the multiples of the width. */
function split(at: number, bytes: readonly number[], width: number): Piece[] {
  const parts: Piece[] = [];
  for (let i = 0; i < bytes.length;) {
    const room = width - ((((at + i) % width) + width) % width);
    parts.push({ at: at + i, bytes: bytes.slice(i, i + room) });
    i += room;
  }
  return parts;
}
