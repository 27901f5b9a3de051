import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Machine } from '#machine/machine';
import { transact, Unfinished, type End } from '#machine/transact';
import { Batch, KeyChanges, type Edits } from '#plan/batch';
import type { Protocol } from '#plan/protocol';
import { int3 } from '#plan/protocols/int3';
import { store } from '#plan/protocols/store';
import { memory, type Memory } from './memory.js';

const TEXT = 0x10_0000;
const [RECORD, KEY] = [0x5000, 0x6000];
const OLD = KeyChanges.of([
  { record: RECORD, words: { call: 1, tail: 2, jcc: 3 }, slot: KEY, func: 0x111 },
]);
const NEW = KeyChanges.of([
  { record: RECORD, words: { call: 4, tail: 5, jcc: 6 }, slot: KEY, func: 0x222 },
]);

interface Begun {
  readonly box: Memory;
  readonly batch: Batch;
  readonly edits: Edits;
}

/**
 * Sites of which every byte differs between old and new, at the given gaps; inside a line where
 * `store` needs that.
 */
function begin(gaps: readonly number[], protocol: Protocol): Begun {
  const places: number[] = [];
  for (const gap of gaps) {
    let at = (places.at(-1) ?? TEXT) + 6 + gap;
    if (protocol === store && Math.floor(at / 64) !== Math.floor((at + 4) / 64))
      at = Math.ceil(at / 64) * 64;
    places.push(at);
  }
  const box = memory(TEXT, 1 << 16);
  const batch = new Batch(places.length);
  batch.count = places.length;
  places.forEach((at, i) => {
    batch.at[i] = at;
    batch.length[i] = 5;
    batch.old.set([0xe8, i, 2, 3, 4], 8 * i);
    batch.new.set([0x0f, i + 1, 7, 8, 9], 8 * i);
    box.text.set(batch.old.subarray(8 * i, 8 * i + 5), at - TEXT);
  });
  box.machine.run([{ do: 'publish', why: '' }], { batches: [], keys: OLD });
  return { box, batch, edits: { batches: [batch], keys: NEW } };
}

function attempt(
  { box, edits }: Begun,
  protocol: Protocol,
  machine: Machine = box.machine,
): { end: End | 'done'; step: number } {
  try {
    transact(protocol, edits, OLD, machine);
    return { end: 'done', step: protocol.steps.length };
  } catch (error) {
    if (!(error instanceof Unfinished)) throw error;
    return { end: error.end, step: error.step };
  }
}

/** What a thread would find at a site: the old or the new instruction, a trap, or neither. */
function standing({ box, batch }: Begun, i: number): 'old' | 'new' | 'trap' | 'neither' {
  const at = batch.at[i]! - TEXT;
  const bytes = box.text.subarray(at, at + 5);
  if (bytes[0] === 0xcc) return 'trap';
  const is = (side: Uint8Array): boolean => bytes.every((byte, b) => byte === side[8 * i + b]);
  return is(batch.new) ? 'new' : is(batch.old) ? 'old' : 'neither';
}

/** The whole promise about a failed update, read from memory alone. */
function agree(begun: Begun, protocol: Protocol, end: End | 'done'): void {
  const { box, batch } = begun;
  const words = [...box.words(RECORD).subarray(0, 3)];
  const func = box.words(KEY)[0];
  const side = func === 0x111n ? 'old' : 'new';
  expect(words).toEqual(side === 'old' ? [1n, 2n, 3n] : [4n, 5n, 6n]);
  expect(func).toBe(side === 'old' ? 0x111n : 0x222n);
  const found = new Set(Array.from({ length: batch.count }, (_, i) => standing(begun, i)));
  expect(found).not.toContain('neither');
  if (end === 'done') expect([...found, side]).toEqual(['new', 'new']);
  else if (end === 'mixed') expect([protocol, found]).toEqual([store, new Set(['old', 'new'])]);
  else if (end !== 'parked') expect([...found, side]).toEqual([end, end]);
  else if (protocol.handler === null) throw new Error('parked without a trap');
  else {
    expect(found).toContain('trap');
    // Beside the traps, only the instruction that the trap is emulated to.
    found.delete('trap');
    expect([...found]).toEqual(found.size === 0 ? [] : [side]);
  }
}

const gaps = fc.array(fc.constantFrom(0, 1, 60, 300, 1000), { minLength: 1, maxLength: 12 });

describe.each([int3, store])('$name, with every effect in turn refused', (protocol) => {
  it.each(['once', 'for good'])(
    '%s: the text and the words end all old, all new or parked',
    (how) => {
      const ends = new Set<string>();
      fc.assert(
        fc.property(gaps, (gaps) => {
          const whole = begin(gaps, protocol);
          const before = whole.box.effects;
          expect(attempt(whole, protocol).end).toBe('done');
          agree(whole, protocol, 'done');
          const effects = whole.box.effects - before;
          for (let k = 0; k < effects; k++) {
            const begun = begin(gaps, protocol);
            begun.box.fails = (n) => (how === 'once' ? n === before + k : n >= before + k);
            const { end, step } = attempt(begun, protocol);
            expect(end).not.toBe('done');
            expect(step).toBeLessThan(protocol.steps.length);
            ends.add(end);
            agree(begun, protocol, end);
            // The next update finds whatever stands there and mends it.
            begun.box.fails = () => false;
            begun.batch.old.forEach((_, b) => {
              const i = b >> 3;
              if (i < begun.batch.count && b % 8 < 5)
                begun.batch.old[b] = begun.box.text[begun.batch.at[i]! - TEXT + (b % 8)]!;
            });
            expect(attempt(begun, protocol).end).toBe('done');
            agree(begun, protocol, 'done');
          }
        }),
        { numRuns: 20 },
      );
      // A single refusal never leaves anything parked.
      expect([...ends].sort()).toEqual(
        how === 'once'
          ? ['new', 'old']
          : [protocol === int3 ? 'parked' : 'mixed', 'new', 'old'].sort(),
      );
    },
  );
});

it.each([int3, store])(
  '$name in a child of fork, which has lost its registration: it registers and goes on where it stopped',
  (protocol) => {
    const [here, child] = [begin([0, 300], protocol), begin([0, 300], protocol)];
    child.box.lost = true;
    const before = here.box.effects;
    for (const begun of [here, child]) {
      expect(attempt(begun, protocol).end).toBe('done');
      agree(begun, protocol, 'done');
    }
    // Nothing is done twice: one refused synchronisation, what is offered, the registration, and
    // the rest.
    expect(child.box.effects - here.box.effects).toBe(3);
    // Where that is refused too it is a failed step like any other: two writes, the
    // synchronisation, and then the question.
    const refused = begin([0, 300], protocol);
    refused.box.lost = true;
    refused.box.fails = (n) => n === before + 3;
    const { end } = attempt(refused, protocol);
    expect(end).not.toBe('done');
    agree(refused, protocol, end);
  },
);

it('a way back that trusts itself instead of the text is seen to be wrong', () => {
  const begun = begin([0, 300, 1000], int3);
  begun.box.fails = (n) => n === 1;
  const { machine } = begun.box;
  const { end } = attempt(begun, int3, {
    begin: (protocol, edits) => machine.begin(protocol, edits),
    run: (steps, edits) => machine.run(steps, edits),
    unlike: () => ({ batches: [], keys: new KeyChanges() }),
  });
  expect(() => agree(begun, int3, end)).toThrow();
});
