// The survey of an update: what stands at the sites of each key, and what shall. A key's sites are
// one operation of a script, so an update of ten thousand keys is one call into machine code, as an
// update of one key is. plan/draw.ts is the same in TypeScript.

import { INT3 } from '../../asm/table.js';
import { hex, UNIT_NAMES, UNITS, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { invariant } from '../../base/invariant.js';
import { OUTER } from '../../native/loop.js';
import { FORM, LENGTHS, SURVEY } from '../../native/survey.js';
import type { Batch } from '../../plan/batch.js';
import { awayOf, KINDS, type Destination, type SiteColumns } from '../../plan/draw.js';
import type { Acceptance } from '../../plan/protocol.js';
import { formOf, transformOf } from '../../plan/transform.js';
import { hidingForm } from '../../plan/way.js';
import { DISPLACEMENT, LONGEST_SITE, SHORTEST_SITE } from '../../x86/forms.js';
import type { Memory, Native } from '../linux/native.js';
import { Script, type Routines } from './script.js';
import type { SiteRow } from './site-row.js';

/** Rows of the forms: kind by length. Sets of rows are bits. */
const ROWS = KINDS.flatMap((kind) =>
  Array.from({ length: LENGTHS }, (_, i) => ({ kind, length: SHORTEST_SITE + i })),
);

/** Which rows of the forms some sites use. */
export function rowsOf({ batch, kind }: SiteColumns): number {
  let rows = 0;
  for (let i = 0; i < batch.count; i++) {
    const length = batch.lengthAt(i);
    invariant(
      length >= SHORTEST_SITE && length <= LONGEST_SITE,
      'a site is as long as one of the forms',
    );
    rows |= 1 << (LENGTHS * kind[i]! + length - SHORTEST_SITE);
  }
  return rows;
}

/** What is the same for every target: where a site's last four bytes are, and its form while off. */
const BLANK = blank();
function blank(): Uint8Array {
  const bytes = new Uint8Array(ROWS.length * FORM.size);
  for (const [row, { kind, length }] of ROWS.entries()) {
    const base = row * FORM.size;
    bytes[base + FORM.tail] = 8 * (length - 4);
    const off = hidingForm(kind, length);
    if (off === null) {
      // A site is shorter than eight bytes, and the rest of the word is zero.
      bytes[base + FORM.off + 7] = bytes[base + FORM.head + 7] = 0xff;
      continue;
    }
    const opcode = length - DISPLACEMENT - 1;
    bytes.set(off.bytes.subarray(0, opcode + 1), base + FORM.off);
    bytes.fill(0xff, base + FORM.head, base + FORM.head + opcode + 1);
    bytes.fill(0xff, base + FORM.prefix, base + FORM.prefix + opcode);
  }
  return bytes;
}

/** The instructions of one target as one text reaches it, in the rows that machine code reads. */
export class Forms {
  readonly at: Addr;
  readonly #destination: Destination | null;
  readonly #bytes: Uint8Array = BLANK.slice();
  readonly #words: DataView = new DataView(this.#bytes.buffer);
  #filled = 0;
  /** Between these a displacement of every filled row reaches. */
  #lowest = -Infinity;
  #highest = Infinity;

  /** @param destination null for what the file has, which stands in the columns */
  constructor(native: Pick<Memory, 'addressOf'>, destination: Destination | null) {
    this.at = native.addressOf(this.#bytes);
    this.#destination = destination;
  }

  /** Before sites that use these rows are surveyed. @throws Fault `out-of-reach` */
  prepare(rows: number, first: Addr, last: Addr): void {
    const destination = this.#destination;
    if (destination === null) return;
    if ((rows & ~this.#filled) !== 0) {
      for (const row of ROWS.keys())
        if ((rows & ~this.#filled & (1 << row)) !== 0) this.#fill(row, destination);
      this.#filled |= rows;
    }
    // Between the first site and the last a distance only shrinks and grows, so the two ends tell
    // for all.
    if (first >= this.#lowest && last <= this.#highest) return;
    throw new Fault(
      'out-of-reach',
      `${hex(destination.way)} is more than a 32-bit displacement away`,
      { at: hex(first < this.#lowest ? first : last) },
    );
  }

  #fill(row: number, d: Destination): void {
    const { kind, length } = ROWS[row]!;
    const form = formOf(kind, d.kind, length);
    const { to } = transformOf(kind, d.kind);
    const base = row * FORM.size;
    this.#bytes.set(form.bytes, base + FORM.template);
    // What keeps its displacement is given none.
    if (form.keeps || to === 'own') {
      const end = base + FORM.kept + length;
      this.#bytes.fill(0xff, end - DISPLACEMENT, end);
      return;
    }
    if (form.displacement < 0) return;
    const from = awayOf(to, d) - (form.displacement + DISPLACEMENT);
    this.#bytes.fill(0xff, base + FORM.mask, base + FORM.mask + DISPLACEMENT);
    this.#words.setBigInt64(base + FORM.from, BigInt(from), true);
    this.#bytes[base + FORM.shift] = 8 * form.displacement;
    this.#lowest = Math.max(this.#lowest, from - (2 ** 31 - 1));
    this.#highest = Math.min(this.#highest, from + 2 ** 31);
  }
}

/** Where all bytes count, no change is one of the displacement alone. */
const OUTSIDE: Readonly<Record<Acceptance['bytes'], number>> = {
  changed: Number(BigInt.asIntN(64, OUTER)),
  whole: -1,
};

/** What a survey finds out that decides which steps an update needs. */
const FOUND = [SURVEY.unchanged, SURVEY.original, SURVEY.ways] as const;

export class Survey {
  readonly #native: Native;
  readonly #script: Script;
  readonly #routine: Addr;
  /** For what the file has. */
  readonly #blank: Forms;
  #rule: Acceptance = { bytes: 'whole', within: null };
  #outer = 0;
  #unit = 0;
  /** For each operation the row whose sites it looks at; kept, because updates come again. */
  readonly #rows: SiteRow[] = [];
  /** Operations name these by address alone. */
  #forms: Forms[] = [];

  /** @param routine where the code of the survey lies */
  constructor(native: Native, routines: Routines, routine: Addr) {
    this.#native = native;
    this.#script = new Script(native, routines);
    this.#routine = routine;
    this.#blank = new Forms(native, null);
  }

  begin(rule: Acceptance): void {
    const { bytes, within } = rule;
    this.#script.clear();
    this.#rule = rule;
    this.#outer = OUTSIDE[bytes];
    this.#unit = within === null ? -1 : UNITS[within] - 1;
    this.#forms = [];
  }

  /**
   * One more row of sites.
   * @param target null for what the file has
   * @param ways those that a site may be written by, as bits of WAY; 0 where the protocol has one
   *   way for every site
   * @throws Fault `out-of-reach`
   */
  add(row: SiteRow, target: Forms | null, inline: boolean, ways: number): void {
    const { at, count, trampoline } = row;
    const forms = target ?? this.#blank;
    invariant(ways === 0 || this.#unit < 0, 'a protocol that has ways takes every site');
    forms.prepare(row.forms, row.first, row.last);
    if (this.#forms.at(-1) !== forms) this.#forms.push(forms);
    const script = this.#script;
    this.#rows[script.count] = row;
    const half = script.block(this.#routine);
    script.put(half + SURVEY.at / 4, at);
    script.small(half + SURVEY.count / 4, count);
    script.put(half + SURVEY.forms / 4, forms.at);
    script.put(half + SURVEY.outer / 4, this.#outer);
    script.small(half + SURVEY.unit / 4, this.#unit);
    script.put(half + SURVEY.trampoline / 4, trampoline < 0 ? 0 : at + 8 * trampoline);
    script.small(half + SURVEY.inline / 4, inline ? 1 : 0);
    script.small(half + SURVEY.refused / 4, 0);
    script.small(half + SURVEY.allowed / 4, ways);
    script.small(half + SURVEY.ways / 4, 0);
    script.small(half + SURVEY.restores / 4, target === null ? 1 : 0);
  }

  /**
   * `draw` of plan/draw.ts for all that was added, and the text held against the snapshot in the
   * same pass: the same answers and the same refusals.
   * @param nameOf whose sites the k-th row has, for a refusal
   * @throws Fault `foreign-trap`, `drift`, `store-refused`, `not-inline`
   */
  perform(nameOf: (k: number) => string): void {
    const stop = this.#script.perform();
    if (stop === null) return;
    invariant('block' in stop.what, 'a survey stops at a site');
    throw this.#refusal(stop.operation, stop.what.block, nameOf(stop.operation));
  }

  /** What the rows that were added are to have. */
  get forms(): readonly Forms[] {
    return this.#forms;
  }

  /** How many rows were added, and which the k-th is. */
  get count(): number {
    return this.#script.count;
  }
  row(k: number): SiteRow {
    return this.#rows[k]!;
  }

  /** How many sites of the k-th row call the trampoline. */
  onTrampoline(k: number): number {
    const original = this.#script.half(this.#script.wordsOf(k) + SURVEY.original / 4);
    return original - (this.row(k).isTrampolineBack ? 1 : 0);
  }

  /** The edits of the k-th row. */
  batch(k: number): Batch {
    const { columns } = this.row(k).group;
    const half = this.#script.wordsOf(k);
    columns.batch.ways = this.#script.half(half + SURVEY.ways / 4);
    return columns.changed(this.#script.half(half + SURVEY.unchanged / 4));
  }

  /**
   * Adds the survey of the k-th row to a script, and that it finds what it found now: as many
   * sites that change, and by the same ways.
   * @returns what `renew` takes
   */
  addTo(script: Script, k: number): number {
    const half = script.blockOf(this.#routine, this.#script, k);
    for (const word of FOUND)
      script.expect(script.addressOf(half + word / 4), script.half(half + word / 4));
    return half;
  }

  /** Before a script is performed again that a survey was added to. */
  renew(script: Script, half: number): void {
    script.small(half + SURVEY.refused / 4, 0);
  }

  #refusal(k: number, i: number, name: string): Fault {
    const { batch, trampoline } = this.row(k).group.columns;
    const words = this.#script.wordsOf(k);
    const at = batch.address(i);
    const where = { at: hex(at) };
    if (this.#script.half(words + SURVEY.refused / 4) === 0) {
      const first = new Uint8Array(this.#native.view(at, 1))[0];
      const trapped = first === INT3 && batch.old[8 * i] !== INT3;
      return new Fault(
        trapped ? 'foreign-trap' : 'drift',
        `${trapped ? 'a trap that is not ours' : 'other bytes than ours'} on a site of ${name}`,
        where,
      );
    }
    const { within } = this.#rule;
    invariant(within !== null, 'what takes every site refuses none');
    const unit = UNIT_NAMES[within];
    if (i === trampoline)
      return new Fault('store-refused', `the trampoline itself crosses a ${unit}`, where);
    if (this.#script.half(words + SURVEY.inline / 4) !== 0)
      return new Fault('not-inline', `the changed bytes of the site cross a ${unit}`, where);
    return new Fault(
      'store-refused',
      'the site does not call its trampoline, and one store cannot send it back there',
      where,
    );
  }
}
