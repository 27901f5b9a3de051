// The machine that is this very process: steps become stores into its text, system calls and words of the
// handler's data. It knows nothing of keys' names or of what a batch means.

import { Fault } from '../../base/fault.js';
import { InvariantError } from '../../base/invariant.js';
import type { Addr } from '../../base/addr.js';
import { Batch } from '../../plan/batch.js';
import type { Protocol, Step } from '../../plan/protocol.js';
import { RECORD } from '../../trap/registry.js';
import type { Machine } from '../machine.js';
import { syncCores } from './barrier.js';
import type { Native } from './native.js';
import type { Text } from './text.js';

/** Steps that a process can take by itself; stopping all others needs another process. */
const PERFORMED: ReadonlySet<Step['do']> = new Set(['publish', 'store', 'sync']);

/** @throws Fault `bad-protocol` where a process cannot run it at all, before anything is begun */
export function checkPerformable(protocol: Protocol): void {
  for (const step of protocol.steps) {
    if (!PERFORMED.has(step.do)) {
      throw new Fault('bad-protocol', `a process cannot perform the step ${step.do} of ${protocol.name}`, { hint: 'a process can publish, store and sync; the checker can do more' });
    }
    if (step.do === 'store' && step.bytes === 'trap' && protocol.handler === null) throw new Fault('bad-protocol', `${protocol.name} plants traps and names no handler`);
  }
  if (protocol.handler !== null && protocol.handler !== 'sigtrap') throw new Fault('bad-protocol', `a process has the handler sigtrap, not ${protocol.handler}`);
}

export class ProcessMachine implements Machine {
  readonly #native: Native;
  readonly #texts: Text[] = [];
  /** Views of records and of keys' pointers, by address. */
  readonly #words = new Map<Addr, BigUint64Array>();

  constructor(native: Native) {
    this.#native = native;
  }

  /** Makes a stretch of text known, or known anew; batches may name sites in any of them. */
  addText(text: Text): void {
    const known = this.#texts.findIndex((t) => t.start === text.start);
    if (known >= 0) this.#texts.splice(known, 1);
    this.#texts.push(text);
    this.#texts.sort((a, b) => a.start - b.start);
  }

  perform(step: Step, batch: Batch): void {
    switch (step.do) {
      case 'publish':
        for (const change of batch.keys) {
          if (change.slot !== null) Atomics.store(this.#view(change.slot, 8), 0, BigInt(change.func));
          const record = this.#view(change.record, RECORD.size);
          Atomics.store(record, RECORD.call / 8, change.words.call);
          Atomics.store(record, RECORD.tail / 8, change.words.tail);
          Atomics.store(record, RECORD.jcc / 8, change.words.jcc);
        }
        return;
      case 'store':
        for (let from = 0; from < batch.count; ) {
          const text = this.#textAt(batch.at[from]!);
          const to = firstFrom(batch, from + 1, text.end);
          text.store(step, batch, from, to);
          from = to;
        }
        return;
      case 'sync':
        syncCores(this.#native);
        return;
      default:
        throw new InvariantError(`the step ${step.do} was let through`);
    }
  }

  /** The edits of a batch whose bytes in the text are not those of that side. */
  unlike(batch: Batch, side: 'old' | 'new'): Batch {
    const found = new Batch(batch.count);
    for (let i = 0; i < batch.count; i++) {
      const at = batch.at[i]!;
      const { bytes, start } = this.#textAt(at);
      const wanted = batch[side];
      let same = true;
      for (let b = 0; same && b < batch.length[i]!; b++) same = bytes[at - start + b] === wanted[8 * i + b];
      if (!same) found.append(batch, i);
    }
    return found;
  }

  #view(at: Addr, size: number): BigUint64Array {
    let words = this.#words.get(at);
    if (!words) this.#words.set(at, (words = new BigUint64Array(this.#native.view(at, size))));
    return words;
  }

  #textAt(at: Addr): Text {
    for (const text of this.#texts) if (at >= text.start && at < text.end) return text;
    throw new Fault('bad-site', 'the site is in no text that was opened');
  }
}

/** The first edit from `low` on that lies at `end` or behind it. Walking there would cost as much as the stores. */
function firstFrom({ at, count }: Batch, low: number, end: Addr): number {
  let high = count;
  if (at[count - 1]! < end) return count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (at[middle]! < end) low = middle + 1;
    else high = middle;
  }
  return low;
}
