// The machine that is this very process: steps become stores into its text, system calls and words of the
// handler's data. It knows nothing of keys' names or of what a batch means.

import { Fault } from '../../base/fault.js';
import type { Addr } from '../../base/addr.js';
import type { Batch } from '../../plan/batch.js';
import type { Step } from '../../plan/protocol.js';
import { RECORD } from '../../trap/registry.js';
import type { Machine } from '../machine.js';
import { syncCores } from './barrier.js';
import type { Native } from './native.js';
import type { Text } from './text.js';

export class ProcessMachine implements Machine {
  readonly #native: Native;
  readonly #texts: Text[] = [];
  readonly #records = new Map<Addr, { words: BigUint64Array; slot: BigUint64Array | null }>();

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
          let key = this.#records.get(change.record);
          if (!key) {
            key = { words: new BigUint64Array(this.#native.view(change.record, RECORD.size)), slot: change.slot === null ? null : new BigUint64Array(this.#native.view(change.slot, 8)) };
            this.#records.set(change.record, key);
          }
          if (key.slot) Atomics.store(key.slot, 0, BigInt(change.func));
          Atomics.store(key.words, RECORD.call / 8, change.words.call);
          Atomics.store(key.words, RECORD.tail / 8, change.words.tail);
          Atomics.store(key.words, RECORD.jcc / 8, change.words.jcc);
        }
        return;
      case 'store':
        for (let from = 0; from < batch.count; ) {
          const text = this.#textAt(batch.at[from]!);
          let to = from + 1;
          while (to < batch.count && batch.at[to]! < text.end) to++;
          text.store(step, batch, from, to);
          from = to;
        }
        return;
      case 'sync':
        syncCores(this.#native);
        return;
      default:
        throw new Fault('bad-protocol', `a process cannot perform the step ${step.do}`, { hint: 'a process can publish, store and sync; the checker can do more' });
    }
  }

  #textAt(at: Addr): Text {
    for (const text of this.#texts) if (at >= text.start && at < text.end) return text;
    throw new Fault('bad-site', 'the site is in no text that was opened');
  }
}
