// Small groups of sites are copied together, one batch for each text: a step is an operation for
// every batch, which for a single site costs more than the copy. Large ones stay as they are, so
// that three sites beside a key of ten thousand cost no copy of those.

import type { Batch } from '../../plan/batch.js';
import { Room, type SiteRow } from './site-row.js';

/** As many batches are written one after the other. */
export const FEW = 8;

/** The rows of an update, and the edits of each. */
export interface Drawn {
  readonly count: number;
  row(k: number): SiteRow;
  batch(k: number): Batch;
}

export class Gathering {
  /** By the text; kept, because updates of the same keys come again. */
  readonly #rooms: Room[] = [];
  #used: Room[] = [];

  /** The edits that change something; the next call writes them over. */
  gather(drawn: Drawn): Batch[] {
    const batches: Batch[] = [];
    const few = drawn.count <= FEW;
    const edits = few ? 0 : smallSites(drawn);
    if (this.#used.length > 0) this.#used = [];
    for (let k = 0; k < drawn.count; k++) {
      const row = drawn.row(k);
      if (!few && row.isSmall) {
        row.copyInto(this.#room(row.text, edits));
        continue;
      }
      const batch = drawn.batch(k);
      if (batch.count > 0) batches.push(batch);
    }
    for (const { batch } of this.#used) if (batch.count > 0) batches.push(batch);
    return batches;
  }

  #room(text: number, edits: number): Room {
    let room = this.#rooms[text];
    if (!room || room.capacity < edits) this.#rooms[text] = room = new Room(2 * edits);
    if (!this.#used.includes(room)) {
      this.#used.push(room);
      room.batch.count = room.batch.ways = 0;
    }
    return room;
  }
}

function smallSites(drawn: Drawn): number {
  let sites = 0;
  for (let k = 0; k < drawn.count; k++) {
    const row = drawn.row(k);
    if (row.isSmall) sites += row.count;
  }
  return sites;
}
