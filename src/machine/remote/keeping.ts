// What an attached program asks of what changes its keys: a borrowed thread (engine.ts), or the
// tool itself while all threads stand (stopping.ts).

import type { Addr } from '../../base/addr.js';
import type { KeyDef } from '../../keys/key.js';
import type { Batch } from '../../plan/batch.js';
import { draw, type Destination } from '../../plan/draw.js';
import type { Protocol } from '../../plan/protocol.js';
import { ORIGINAL, type Target as Goal } from '../../plan/target.js';
import type { WayCounts } from '../../plan/ways.js';
import type { Group } from '../process/records.js';
import type { Again } from './again.js';
import type { Held } from './borrow.js';
import type { Piece } from './door.js';
import type { RemoteObject } from './objects.js';

export interface Asked {
  readonly name: string;
  readonly record: Addr;
  readonly to: Goal | typeof ORIGINAL;
}

export interface Change<A extends Asked = Asked> {
  readonly asked: A;
  readonly from: Goal;
  readonly to: Goal;
}

export interface Applied<A extends Asked = Asked> {
  readonly changes: readonly Change<A>[];
  readonly inline: number;
  readonly trampoline: number;
  readonly traps: number;
  readonly ways: WayCounts;
  /** The same once more, where that was asked for and can be. */
  readonly again: Again | null;
}

/** What the sites of the keys of an update become, gathered group by group. */
export class Drawing {
  readonly batches: Batch[] = [];
  readonly groups: Group[] = [];
  inline = 0;
  trampoline = 0;

  /** @param to null for what the file has */
  add(
    group: Group,
    to: Destination | null,
    { accepts }: Pick<Protocol, 'accepts'>,
    require?: 'inline',
  ): void {
    const { batch, inline, trampoline } = draw(group.columns, to, accepts, require);
    this.inline += inline;
    this.trampoline += trampoline;
    this.groups.push(group);
    if (batch.count > 0) this.batches.push(batch);
  }
}

/** A key of an object that is known to an engine. */
export interface Kept {
  readonly def: KeyDef;
  readonly record: { readonly at: Addr };
}

export interface Engine {
  readonly held: Held | null;
  /** Makes keys known; one for each key of each object, in their order. @throws Fault */
  register(objects: readonly RemoteObject[]): readonly Kept[];
  /** What a process must be for an update, looked at anew. @throws Fault */
  look(): void;
  /** Forgets what others may have changed. */
  refresh(): void;
  now(record: Addr): Goal;
  initial(record: Addr): Goal;
  groups(record: Addr): readonly Group[];
  destination(group: Group, to: Goal): Destination;
  /** Code that counts the calls of a key in its record and goes on to a target. @throws Fault */
  counter(record: Addr, to: Goal): Addr;
  /**
   * @param pieces what must be as it is for the same update to be made again; null where it will
   *   not be
   * @throws Fault, with nothing changed; `update-failed`, `update-parked`, `update-mixed`
   */
  apply<A extends Asked>(
    asked: readonly A[],
    protocol: Protocol,
    require?: 'inline',
    pieces?: readonly Piece[] | null,
  ): Applied<A>;
  /** Leaves everything as it is; nothing of the tool's stays. */
  leave(): void;
}
