// An update of one key that is asked for again: a hook that goes on and off. Its run stays written
// down, so that nothing is drawn, and one call looks whether everything stands as it did then: the
// text, the words that names of targets are read from, the pointer that C code queries. That call
// fails where memory is not mapped any more, where a look by the borrowed thread would end the
// program. Where anything is not so nothing was begun, and the update is drawn anew.

import type { Addr } from '../../base/addr.js';
import { Batch, type Edits, type KeyChanges } from '../../plan/batch.js';
import type { Protocol } from '../../plan/protocol.js';
import { DATA, RECORD } from '../../trap/registry.js';
import type { Native } from '../linux/native.js';
import type { Group } from '../process/records.js';
import { Script } from '../process/script.js';
import type { Piece } from './door.js';
import { Locked, Moved, type Run } from './run.js';
import { OWNER_MASK, type RemoteRuntime } from './runtime.js';
import { performed, written, type Mirrored } from './updating.js';

/** An update that can be made again. */
export interface Again {
  /** Whether the key goes from where it is now to where it went then. */
  readonly isCurrent: boolean;
  /** @returns calls that were emulated meanwhile; null where nothing was begun */
  perform(): number | null;
}

/** Sites and words of an update that is kept: each is a piece of one look. */
const MOST_PIECES = 128;

/** What one call of the kernel reads, from many places. */
class Look {
  readonly #native: Pick<Native, 'call'>;
  readonly #pid: number;
  readonly #vectors: BigUint64Array;
  readonly #at: Addr;
  readonly #count: number;
  readonly #now: Uint8Array;
  readonly #data: BigUint64Array;
  readonly #behind: Uint8Array;
  readonly #expected: Uint8Array;

  constructor(
    native: Pick<Native, 'call' | 'addressOf'>,
    { target, data }: RemoteRuntime,
    record: Addr,
    pieces: readonly Piece[],
  ) {
    const all = [
      { at: data, size: DATA.size },
      { at: record + RECORD.traps, size: 8 },
      ...pieces.map(({ at, bytes }) => ({ at, size: bytes.length })),
    ];
    const size = all.reduce((sum, each) => sum + each.size, 0);
    this.#native = native;
    this.#pid = target.pid;
    this.#count = all.length;
    this.#now = new Uint8Array(size);
    this.#data = new BigUint64Array(this.#now.buffer, 0, DATA.size / 8 + 1);
    this.#behind = this.#now.subarray(this.#data.byteLength);
    this.#expected = Buffer.concat(pieces.map(({ bytes }) => bytes));
    const local = [native.addressOf(this.#now), size];
    const remote = all.flatMap((each) => [each.at, each.size]);
    this.#vectors = BigUint64Array.from([...local, ...remote].map(BigInt));
    this.#at = native.addressOf(this.#vectors);
  }

  /** @returns how many calls were emulated so far; null where it is not as it was */
  taken(epoch: bigint): number | null {
    const remote = this.#at + 16;
    const read = this.#native.call(
      'process_vm_readv',
      this.#pid,
      this.#at,
      1,
      remote,
      this.#count,
      0,
    );
    const word = (at: number): bigint => this.#data[at / 8] ?? 0n;
    const isFree = (word(DATA.lock) & OWNER_MASK) === 0n;
    const isDone = word(DATA.stale) === 0n && word(DATA.unsynced) === 0n;
    return read === this.#now.length &&
      word(DATA.epoch) === epoch &&
      isFree &&
      isDone &&
      Buffer.compare(this.#behind, this.#expected) === 0
      ? Number(word(DATA.size))
      : null;
  }
}

/** What an update was, before it is performed for the first time. */
export interface Updated {
  readonly record: Addr;
  readonly protocol: Protocol;
  readonly edits: Edits;
  readonly previous: KeyChanges;
  readonly groups: readonly Group[];
}

/** What an engine knows of a key. */
interface Known {
  /** The groups of its record, as they are now. */
  groups(record: Addr): readonly Group[];
  /** Whether the record's words are those. */
  isAt(previous: KeyChanges): boolean;
  /** An update went through. */
  keep(keys: KeyChanges, mirrored: readonly Mirrored[]): void;
  /** What was read is outdated. */
  forget(): void;
}

/**
 * @param pieces what besides the sites must be as it was
 * @returns null where it would be too much
 */
export function again(
  native: Pick<Native, 'call' | 'addressOf'>,
  runtime: RemoteRuntime,
  known: Known,
  { record, protocol, edits, previous, groups }: Updated,
  pieces: readonly Piece[],
): Again | null {
  const sites = groups.reduce((sum, { columns }) => sum + columns.batch.count, 0);
  const isDone = runtime.word('stale') === 0n && runtime.word('unsynced') === 0n;
  if (!isDone || sites + pieces.length > MOST_PIECES) return null;
  const own: Edits = { batches: edits.batches.map(copyOf), keys: edits.keys };
  const drawn = groups.map(({ columns }) => columns.batch.new.slice());
  const mirror = (now: readonly Group[]): Mirrored[] =>
    now.map((group, g) => ({ group, drawn: drawn[g] ?? new Uint8Array(0) }));
  let mirrored = mirror(groups);
  const { run, machine } = written(runtime, mirrored, []);
  run.reports(record + RECORD.traps);
  const script = new Script(run, runtime.routines);
  machine.add(script, protocol, own);
  const repeating = machine.repeating(script);
  const look = new Look(native, runtime, record, [
    ...groups.flatMap(piecesOf),
    ...piecesOfPointers(previous),
    ...pieces,
  ]);
  const { scratch, snapshot } = runtime;
  let seen = snapshot.generation;
  const hasGroups = (): boolean => {
    if (snapshot.generation === seen) return true;
    const now = known.groups(record);
    const same = now.length === groups.length && now.every((group, g) => isSame(group, groups[g]));
    if (!same) return false;
    mirrored = mirror(now);
    seen = snapshot.generation;
    return true;
  };
  return {
    get isCurrent() {
      return runtime.scratch === scratch && run.isWhole && known.isAt(previous) && hasGroups();
    },
    perform() {
      const before = look.taken(runtime.word('epoch'));
      if (
        before === null ||
        !isBegun(run, () => performed(runtime, protocol, own, previous, repeating))
      ) {
        known.forget();
        return null;
      }
      known.keep(own.keys, mirrored);
      return Number(run.reported) - before;
    },
  };
}

/** @returns whether it was, because others may come first; they throw nothing else */
function isBegun(run: Run, body: () => void): boolean {
  try {
    run.renew();
    body();
    return true;
  } catch (error) {
    if (error instanceof Moved || error instanceof Locked) return false;
    throw error;
  }
}

const isSame = (a: Group, b: Group | undefined): boolean =>
  b !== undefined &&
  a.at === b.at &&
  a.start === b.start &&
  a.columns.batch.count === b.columns.batch.count;

function copyOf(batch: Batch): Batch {
  const copy = new Batch(batch.count);
  for (let i = 0; i < batch.count; i++) copy.append(batch, i);
  return copy;
}

function piecesOf({ columns: { batch } }: Group): Piece[] {
  return Array.from({ length: batch.count }, (_, i) => ({
    at: batch.address(i),
    bytes: batch.old.slice(8 * i, 8 * i + batch.lengthAt(i)),
  }));
}

const piecesOfPointers = ({ count, slot, func }: KeyChanges): Piece[] =>
  slot
    .slice(0, count)
    .flatMap((at, k) =>
      at === 0
        ? []
        : [{ at, bytes: new Uint8Array(BigUint64Array.of(BigInt(func[k] ?? 0)).buffer) }],
    );
