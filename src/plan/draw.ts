// Sites and a target to a batch: what stands at each site, what shall stand there, and whether the
// protocol may put it there. Everything is computed and checked here, before the first byte is
// written; nothing is allocated for a site, for there may be a hundred thousand.

import { InvariantError } from '../base/invariant.js';
import { crosses, hex, UNIT_NAMES, type Addr } from '../base/addr.js';
import { Fault } from '../base/fault.js';
import type { BranchKind, CallKind, SiteKind } from '../sites/site.js';
import { emulationWord, RECORD } from '../trap/registry.js';
import { destination, emitInto } from '../x86/forms.js';
import { Batch, type KeyChange } from './batch.js';
import type { Acceptance } from './protocol.js';
import {
  BRANCHES,
  formOf,
  TRANSFORM,
  transformOf,
  type BranchTarget,
  type Lead,
  type TargetKind,
} from './transform.js';
import { changedRun, FIELD, wayOf } from './way.js';

export const KINDS: readonly SiteKind[] = ['call', 'jmp', 'jcc', 'if', 'unless'];

/** Sites that are copied by a loop. */
const SMALL = 8;

/**
 * Where the columns of a group begin in its memory, times the number of its sites. A site has eight
 * bytes in each of the first four.
 */
export const COLUMNS = {
  at: 0,
  original: 8,
  old: 16,
  new: 24,
  length: 32,
  kind: 33,
  condition: 34,
  way: 35,
  size: 36,
} as const;

/**
 * The sites of one key in one object, by address, its trampoline among them. `batch.old` mirrors
 * what stands in the text; `batch.new` is what the update at hand wants there.
 */
export class SiteColumns {
  readonly batch: Batch;
  /** Index into KINDS. */
  readonly kind: Uint8Array;
  readonly condition: Uint8Array;
  /** What the file has there: a call of the trampoline; eight bytes a site. */
  readonly original: Uint8Array;
  /** Index of the trampoline, or -1 where it lies in another object. */
  readonly trampoline: number;
  /** Kept: to find where new columns lie costs more than a small update. */
  #changed: Batch | null = null;

  /** Bytes that the columns of `count` sites need. */
  static size(count: number): number {
    return count * COLUMNS.size;
  }

  /**
   * @param memory where they lie, SiteColumns.size bytes from a multiple of eight; the process
   *   keeps them in the runtime.
   */
  constructor(
    count: number,
    trampoline: number,
    memory: ArrayBuffer = new ArrayBuffer(SiteColumns.size(count)),
    offset = 0,
  ) {
    const bytes = (column: keyof typeof COLUMNS, each: number): Uint8Array =>
      new Uint8Array(memory, offset + COLUMNS[column] * count, each * count);
    this.original = bytes('original', 8);
    this.kind = bytes('kind', 1);
    this.condition = bytes('condition', 1);
    this.batch = new Batch(count, {
      at: new Float64Array(memory, offset + COLUMNS.at * count, count),
      old: bytes('old', 8),
      new: bytes('new', 8),
      length: bytes('length', 1),
      way: bytes('way', 1),
    });
    this.batch.count = count;
    this.trampoline = trampoline;
  }

  /** What was drawn stands in the text now. */
  settle(): void {
    const { old, new: drawn, count } = this.batch;
    // A copy of sixteen bytes by `set` costs five times this loop.
    if (count <= SMALL) for (let b = 0; b < 8 * count; b++) old[b] = drawn[b]!;
    else old.set(drawn);
  }

  /** The edits that change something; the next call writes them over. */
  changed(unchanged: number): Batch {
    const { batch } = this;
    if (unchanged === 0) return batch;
    const part = (this.#changed ??= new Batch(batch.count));
    part.count = part.ways = 0;
    for (let i = 0; i < batch.count; i++)
      if (!same(batch.old, batch.new, i, batch.lengthAt(i))) part.append(batch, i);
    return part;
  }
}

/** A target as the sites of one object reach it. */
export interface Destination {
  readonly kind: TargetKind;
  /**
   * Where the emulated call goes, and where a 32-bit displacement goes: the same, unless a veneer
   * is between.
   */
  readonly target: Addr;
  readonly way: Addr;
  /** Code within reach that returns 0, and that just returns. */
  readonly return0: Addr;
  readonly return: Addr;
}

/** What runs when a key has the target: where it is empty, code that returns. */
export function codeOf(to: Destination): Addr {
  switch (to.kind) {
    case 'function':
      return to.target;
    case 'ret0':
      return to.return0;
    case 'null':
      return to.return;
    case 'on':
    case 'off':
      throw new InvariantError('a static key is not called');
  }
}

/** Offset of the word in a key's record that describes its sites of a kind. */
export const WORD_OF: Readonly<Record<SiteKind, number>> = {
  call: RECORD.call,
  jmp: RECORD.tail,
  jcc: RECORD.jcc,
  if: RECORD.call,
  unless: RECORD.tail,
};

/** The words that a trap handler reads for this target. */
export function wordsOf(d: Destination): KeyChange['words'] {
  const { kind: target } = d;
  if (target === 'on' || target === 'off') return switchWords(target);
  const word = (kind: CallKind): number => {
    const { emulate, to } = TRANSFORM[kind][target];
    return emulationWord(emulate, to === null ? 0 : d[to]);
  };
  return { call: word('call'), tail: word('jmp'), jcc: word('jcc') };
}

/** The same for a static key, whose branches lead where their own displacements say. */
export function switchWords(state: BranchTarget): KeyChange['words'] {
  const word = (kind: BranchKind): number => emulationWord(BRANCHES[kind][state].emulate);
  return { call: word('if'), tail: word('unless'), jcc: 0 };
}

const same = (a: Uint8Array, b: Uint8Array, i: number, length: number): boolean => {
  for (let k = 8 * i; k < 8 * i + length; k++) if (a[k] !== b[k]) return false;
  return true;
};

/** Whether the protocol can replace `batch.old` by `batch.new` at site i. */
export function accepts(rule: Acceptance, batch: Batch, i: number): boolean {
  if (rule.within === null) return true;
  const { first, end } = changedRun(batch, i);
  return first === end && rule.bytes === 'changed'
    ? true
    : acceptsChange(rule, batch.address(i), batch.lengthAt(i), first, end);
}

/** The same for a site of that length of which the bytes from `first` to before `end` change. */
export function acceptsChange(
  rule: Acceptance,
  site: Addr,
  length: number,
  first: number,
  end: number,
): boolean {
  if (rule.within === null) return true;
  // Where only displacement bytes change all four are stored; any other store exchanges eight,
  // which must hold the whole site.
  const { from, to } =
    rule.bytes === 'changed' && first >= FIELD.from && end <= FIELD.to
      ? FIELD
      : { from: 0, to: length };
  return !crosses(rule.within, site + from, to - from);
}

export interface Drawn {
  /** Edits that change something, ready to be run: the columns' own batch, or a part of it. */
  readonly batch: Batch;
  /**
   * Sites (the trampoline not counted) that will run the new instruction, and that will call the
   * trampoline.
   */
  readonly inline: number;
  readonly trampoline: number;
}

/** Where an instruction leads whose displacement the target decides. */
export function awayOf(to: Lead, d: Destination): Addr {
  if (to === null) return 0;
  return to === 'target' ? d.way : d[to];
}

/** Fills `batch.new` for one target. */
function stamp(columns: SiteColumns, d: Destination): void {
  const { batch, kind, condition } = columns;
  // Some forms keep bytes of what stands there.
  batch.new.set(batch.old);
  for (let i = 0; i < batch.count; i++) {
    const row = KINDS[kind[i]!]!;
    const { to } = transformOf(row, d.kind);
    const form = formOf(row, d.kind, batch.lengthAt(i));
    const at = batch.address(i);
    const away = to === 'own' ? destination(form, batch.old, 8 * i, at) : awayOf(to, d);
    emitInto(form, batch.new, 8 * i, at, away, condition[i]!);
  }
}

/**
 * @param destination null puts back what the file has.
 * @param ways those that a site may be written by, as bits of WAY; 0 where the protocol has one way
 *   for every site
 * @throws Fault `store-refused` where neither the site nor, through it, the trampoline can carry
 *   the change; `not-inline` where `require` asks for more than the protocol can do.
 */
export function draw(
  columns: SiteColumns,
  destination: Destination | null,
  rule: Acceptance,
  require?: 'inline',
  ways: number = 0,
): Drawn {
  const { batch, original, kind } = columns;
  batch.ways = 0;
  if (destination) stamp(columns, destination);
  else batch.new.set(original);
  let onTrampoline = 0;
  let unchanged = 0;
  for (let i = 0; i < batch.count; i++) {
    const length = batch.lengthAt(i);
    if (rule.within !== null && !accepts(rule, batch, i)) {
      if (i === columns.trampoline)
        throw new Fault(
          'store-refused',
          `the trampoline itself crosses a ${UNIT_NAMES[rule.within]}`,
          { at: hex(batch.address(i)) },
        );
      if (require === 'inline')
        throw new Fault(
          'not-inline',
          `the changed bytes of the site cross a ${UNIT_NAMES[rule.within]}`,
          { at: hex(batch.address(i)) },
        );
      // It keeps calling its trampoline, or goes back to it if that much can be stored.
      batch.new.set(original.subarray(8 * i, 8 * i + 8), 8 * i);
      if (!accepts(rule, batch, i))
        throw new Fault(
          'store-refused',
          'the site does not call its trampoline, and one store cannot send it back there',
          { at: hex(batch.address(i)) },
        );
    }
    if (i !== columns.trampoline && same(batch.new, original, i, length)) onTrampoline++;
    if (same(batch.old, batch.new, i, length)) unchanged++;
    const way = ways === 0 ? 0 : wayOf(batch, i, KINDS[kind[i]!]!, ways);
    batch.way[i] = way;
    batch.ways |= way;
  }
  const sites = batch.count - (columns.trampoline >= 0 ? 1 : 0);
  return {
    batch: columns.changed(unchanged),
    inline: sites - onTrampoline,
    trampoline: onTrampoline,
  };
}
