// The survey of an update: what stands at the sites of each key, and what shall. A key's sites are
// one operation of a script, so an update of ten thousand keys is one call into machine code, as an
// update of one key is. plan/draw.ts is the same in TypeScript.

import { INT3 } from '../../asm/table.js';
import { hex, UNIT_NAMES, UNITS, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { invariant } from '../../base/invariant.js';
import { OUTER } from '../../native/loop.js';
import { FORM, LENGTHS, SURVEY } from '../../native/survey.js';
import { awayOf, KINDS, type Destination, type Drawn, type SiteColumns } from '../../plan/draw.js';
import type { Acceptance } from '../../plan/protocol.js';
import { formOf, transformOf } from '../../plan/transform.js';
import { hidingForm } from '../../plan/way.js';
import { DISPLACEMENT, LONGEST_SITE, SHORTEST_SITE } from '../../x86/forms.js';
import type { Memory, Native } from '../linux/native.js';
import { Script, type Routines } from './script.js';

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

/** The sites of one key in one text. */
export interface Surveyed {
  /** Where its columns lie. */
  readonly at: Addr;
  readonly columns: SiteColumns;
  /** Which rows of the forms its sites use. */
  readonly rows: number;
}

/** One operation: whose sites it looks at, and what its words point to. */
interface Asked {
  readonly of: { readonly name: string };
  readonly sites: Surveyed;
  readonly forms: Forms;
  readonly inline: boolean;
}

/** Where all bytes count, no change is one of the displacement alone. */
const OUTSIDE: Readonly<Record<Acceptance['bytes'], number>> = {
  changed: Number(BigInt.asIntN(64, OUTER)),
  whole: -1,
};

export class Survey {
  readonly #native: Native;
  readonly #script: Script;
  readonly #routine: Addr;
  /** For what the file has. */
  readonly #blank: Forms;
  #rule: Acceptance = { bytes: 'whole', within: null };
  #asked: Asked[] = [];

  /** @param routine where the code of the survey lies */
  constructor(native: Native, routines: Routines, routine: Addr) {
    this.#native = native;
    this.#script = new Script(native, routines);
    this.#routine = routine;
    this.#blank = new Forms(native, null);
  }

  begin(rule: Acceptance): void {
    this.#script.clear();
    this.#rule = rule;
    this.#asked = [];
  }

  /**
   * One more key's sites in one text.
   * @param of whose sites they are, for a refusal
   * @param target null for what the file has
   * @param ways those that a site may be written by, as bits of WAY; 0 where the protocol has one
   *   way for every site
   * @throws Fault `out-of-reach`
   */
  add(
    of: { readonly name: string },
    sites: Surveyed,
    target: Forms | null,
    inline: boolean,
    ways: number,
  ): void {
    const { at, columns, rows } = sites;
    const { batch, trampoline } = columns;
    const forms = target ?? this.#blank;
    forms.prepare(rows, batch.address(0), batch.address(batch.count - 1));
    const script = this.#script;
    const { bytes, within } = this.#rule;
    const half = script.block(this.#routine, batch);
    script.put(half + SURVEY.at / 4, at);
    script.put(half + SURVEY.count / 4, batch.count);
    script.put(half + SURVEY.forms / 4, forms.at);
    script.put(half + SURVEY.outer / 4, OUTSIDE[bytes]);
    script.put(half + SURVEY.unit / 4, within === null ? -1 : UNITS[within] - 1);
    script.put(half + SURVEY.trampoline / 4, trampoline < 0 ? 0 : at + 8 * trampoline);
    script.put(half + SURVEY.inline / 4, inline ? 1 : 0);
    script.put(half + SURVEY.refused / 4, 0);
    script.put(half + SURVEY.allowed / 4, ways);
    script.put(half + SURVEY.ways / 4, 0);
    script.put(half + SURVEY.restores / 4, target === null ? 1 : 0);
    this.#asked.push({ of, sites, forms, inline });
  }

  /**
   * `draw` of plan/draw.ts for all that was added, and the text held against the snapshot in the
   * same pass: the same answers and the same refusals.
   * @throws Fault `foreign-trap`, `drift`, `store-refused`, `not-inline`
   */
  perform(): void {
    const stop = this.#script.perform();
    if (stop === null) return;
    invariant('edit' in stop.what, 'a survey stops at a site');
    throw this.#refusal(stop.operation, stop.what.edit);
  }

  /** What was drawn for the k-th that was added. */
  drawn(k: number): Drawn {
    const { columns } = this.#asked[k]!.sites;
    const { batch, original, trampoline } = columns;
    const half = this.#script.wordsOf(k);
    batch.ways = this.#script.half(half + SURVEY.ways / 4);
    const back = trampoline >= 0 && sameEight(batch.new, original, 8 * trampoline) ? 1 : 0;
    const sites = batch.count - (trampoline >= 0 ? 1 : 0);
    const onTrampoline = this.#script.half(half + SURVEY.original / 4) - back;
    return {
      batch: columns.changed(this.#script.half(half + SURVEY.unchanged / 4)),
      inline: sites - onTrampoline,
      trampoline: onTrampoline,
    };
  }

  #refusal(k: number, i: number): Fault {
    const { of, sites, inline } = this.#asked[k]!;
    const { batch, trampoline } = sites.columns;
    const at = batch.address(i);
    const where = { at: hex(at) };
    if (this.#script.half(this.#script.wordsOf(k) + SURVEY.refused / 4) === 0) {
      const first = new Uint8Array(this.#native.view(at, 1))[0];
      const trapped = first === INT3 && batch.old[8 * i] !== INT3;
      return new Fault(
        trapped ? 'foreign-trap' : 'drift',
        `${trapped ? 'a trap that is not ours' : 'other bytes than ours'} on a site of ${of.name}`,
        where,
      );
    }
    const { within } = this.#rule;
    invariant(within !== null, 'what takes every site refuses none');
    const unit = UNIT_NAMES[within];
    if (i === trampoline)
      return new Fault('store-refused', `the trampoline itself crosses a ${unit}`, where);
    if (inline)
      return new Fault('not-inline', `the changed bytes of the site cross a ${unit}`, where);
    return new Fault(
      'store-refused',
      'the site does not call its trampoline, and one store cannot send it back there',
      where,
    );
  }
}

function sameEight(a: Uint8Array, b: Uint8Array, offset: number): boolean {
  for (let k = offset; k < offset + 8; k++) if (a[k] !== b[k]) return false;
  return true;
}
