// Draws an update over one key's sites in one text, by machine code (native/survey.ts): a hundred
// thousand sites cost JavaScript twenty milliseconds, the first time a multiple of that.
// plan/draw.ts says in TypeScript what a survey must answer.

import { INT3 } from '../../asm/table.js';
import { hex, UNIT_NAMES, UNITS, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { invariant } from '../../base/invariant.js';
import type { Code } from '../../asm/assembler.js';
import { OUTER } from '../../native/loop.js';
import { FORM, LENGTHS, SURVEY } from '../../native/survey.js';
import type { Batch } from '../../plan/batch.js';
import { awayOf, KINDS, type Destination, type Drawn, type SiteColumns } from '../../plan/draw.js';
import type { Acceptance } from '../../plan/protocol.js';
import { formOf, transformOf } from '../../plan/transform.js';
import { hidingForm } from '../../plan/way.js';
import { DISPLACEMENT, LONGEST_SITE, SHORTEST_SITE, type SiteForm } from '../../x86/forms.js';
import type { Native } from '../linux/native.js';

/**
 * What a survey needs of one key's sites in one text: found once, because the columns never move.
 */
interface Prepared {
  readonly at: Addr;
  /** Which rows of the forms its sites use. */
  readonly rows: readonly number[];
}

/** Rows of the forms: kind by length. */
const ROWS = KINDS.flatMap((kind) =>
  Array.from({ length: LENGTHS }, (_, i) => ({ kind, length: SHORTEST_SITE + i })),
);

export class Survey {
  readonly #run: (block: number) => number;
  readonly #native: Native;
  /**
   * Blocks that the code reads, as halves of words, because a bigint costs more than most of what
   * it does.
   */
  readonly #block: Int32Array;
  readonly #blockAt: Addr;
  readonly #forms: Int32Array;
  readonly #formBytes: Uint8Array;
  readonly #formsAt: Addr;
  /** What the rows were filled for last: mostly only where they lead changes. */
  readonly #formed: (SiteForm | null)[] = ROWS.map(() => null);
  readonly #prepared = new WeakMap<SiteColumns, Prepared>();

  /** @param at where the code lies */
  constructor(native: Native, at: Addr, { labels }: Code) {
    const offset = labels.get('survey');
    invariant(offset !== undefined, 'the code of the survey says where it begins');
    this.#run = native.procedure(at + offset);
    this.#native = native;
    const memory = new Uint8Array(128 + ROWS.length * FORM.size);
    this.#block = new Int32Array(memory.buffer, 0, 32);
    this.#formBytes = memory.subarray(128);
    this.#forms = new Int32Array(memory.buffer, 128);
    this.#blockAt = native.addressOf(memory);
    this.#formsAt = this.#blockAt + 128;
    for (const row of ROWS.keys()) this.#off(row);
  }

  /** What stands at the sites of a row while they are off. */
  #off(row: number): void {
    const { kind, length } = ROWS[row]!;
    const base = row * FORM.size;
    this.#formBytes[base + FORM.tail] = 8 * (length - 4);
    const off = hidingForm(kind, length);
    if (off === null) {
      // A site is shorter than eight bytes, and the rest of the word is zero.
      this.#formBytes[base + FORM.off + 7] = this.#formBytes[base + FORM.head + 7] = 0xff;
      return;
    }
    const opcode = length - DISPLACEMENT - 1;
    this.#formBytes.set(off.bytes.subarray(0, opcode + 1), base + FORM.off);
    this.#formBytes.fill(0xff, base + FORM.head, base + FORM.head + opcode + 1);
    this.#formBytes.fill(0xff, base + FORM.prefix, base + FORM.prefix + opcode);
  }

  #set(words: Int32Array, offset: number, value: number): void {
    words[offset / 4] = value;
    words[offset / 4 + 1] = Math.floor(value / 2 ** 32);
  }

  #prepare(columns: SiteColumns): Prepared {
    let prepared = this.#prepared.get(columns);
    if (!prepared) {
      const { batch, kind } = columns;
      const used = new Set<number>();
      for (let i = 0; i < batch.count; i++) {
        const length = batch.length[i]!;
        invariant(
          length >= SHORTEST_SITE && length <= LONGEST_SITE,
          'a site is as long as one of the forms',
        );
        used.add(LENGTHS * kind[i]! + length - SHORTEST_SITE);
      }
      prepared = { at: this.#native.addressOf(batch.at), rows: [...used] };
      this.#prepared.set(columns, prepared);
    }
    return prepared;
  }

  /**
   * `draw` of plan/draw.ts, and the text held against the snapshot in the same pass: the same
   * answer and the same refusals.
   * @param of whose sites they are, for a refusal
   * @throws Fault `foreign-trap`, `drift`, `store-refused`, `not-inline`, `out-of-reach`
   */
  draw(
    of: { readonly name: string },
    columns: SiteColumns,
    destination: Destination | null,
    rule: Acceptance,
    require?: 'inline',
    ways: number = 0,
  ): Drawn {
    const { batch, original, trampoline } = columns;
    const { at, rows } = this.#prepare(columns);
    const block = this.#block;
    if (destination) for (const row of rows) this.#form(row, destination, batch);
    this.#set(block, SURVEY.at, at);
    this.#set(block, SURVEY.count, batch.count);
    this.#set(block, SURVEY.forms, this.#formsAt);
    // Where all bytes count, no change is one of the displacement alone.
    const outer = rule.bytes === 'changed' ? OUTER : -1n;
    block[SURVEY.outer / 4] = Number(BigInt.asIntN(32, outer));
    block[SURVEY.outer / 4 + 1] = Number(outer >> 32n);
    this.#set(block, SURVEY.unit, rule.within === null ? -1 : UNITS[rule.within] - 1);
    this.#set(block, SURVEY.trampoline, trampoline < 0 ? 0 : at + 8 * trampoline);
    this.#set(block, SURVEY.inline, require === 'inline' ? 1 : 0);
    this.#set(block, SURVEY.refused, 0);
    this.#set(block, SURVEY.allowed, ways);
    this.#set(block, SURVEY.ways, 0);
    this.#set(block, SURVEY.restores, destination ? 0 : 1);
    const stopped = this.#run(this.#blockAt);
    if (stopped >= 0) throw this.#refusal(of, columns, stopped, rule, require);
    batch.ways = block[SURVEY.ways / 4]!;
    const unchanged = block[SURVEY.unchanged / 4]!;
    const back = trampoline >= 0 && sameEight(batch.new, original, 8 * trampoline) ? 1 : 0;
    const sites = batch.count - (trampoline >= 0 ? 1 : 0);
    const onTrampoline = block[SURVEY.original / 4]! - back;
    return {
      batch: columns.changed(unchanged),
      inline: sites - onTrampoline,
      trampoline: onTrampoline,
    };
  }

  /** Fills one row of the forms for a target. */
  #form(row: number, d: Destination, { at, count }: Batch): void {
    const { kind, length } = ROWS[row]!;
    const form = formOf(kind, d.kind, length);
    const { to } = transformOf(kind, d.kind);
    // What keeps its displacement is given none.
    const keeps = form.keeps || to === 'own';
    const displacement = keeps ? -1 : form.displacement;
    const away = to === 'own' ? 0 : awayOf(to, d);
    const from = away - (displacement + 4);
    if (displacement >= 0) {
      // Between the first site and the last a distance only shrinks and grows, so the two ends tell
      // for all.
      const [first, last] = [at[0]!, at[count - 1]!];
      const near = (at: Addr): boolean => from - at === ((from - at) | 0);
      if (!near(first) || !near(last))
        throw new Fault('out-of-reach', `${hex(away)} is more than a 32-bit displacement away`, {
          at: hex(near(first) ? last : first),
        });
    }
    const base = row * FORM.size;
    if (this.#formed[row] !== form) {
      this.#formed[row] = form;
      this.#formBytes.fill(0, base, base + FORM.off);
      this.#formBytes.set(form.bytes, base + FORM.template);
      if (keeps)
        this.#formBytes.fill(
          0xff,
          base + FORM.kept + length - DISPLACEMENT,
          base + FORM.kept + length,
        );
      if (displacement >= 0) {
        this.#forms[(base + FORM.mask) / 4] = -1;
        this.#formBytes[base + FORM.shift] = 8 * displacement;
      }
      this.#formBytes[base + FORM.tail] = 8 * (length - 4);
    }
    if (displacement >= 0) this.#set(this.#forms, base + FORM.from, from);
  }

  #refusal(
    { name }: { readonly name: string },
    { batch, trampoline }: SiteColumns,
    i: number,
    rule: Acceptance,
    require?: 'inline',
  ): Fault {
    const at = batch.at[i]!;
    const where = { at: hex(at) };
    if (this.#block[SURVEY.refused / 4] === 0) {
      const first = new Uint8Array(this.#native.view(at, 1))[0];
      const trapped = first === INT3 && batch.old[8 * i] !== INT3;
      return new Fault(
        trapped ? 'foreign-trap' : 'drift',
        `${trapped ? 'a trap that is not ours' : 'other bytes than ours'} on a site of ${name}`,
        where,
      );
    }
    invariant(rule.within !== null, 'what takes every site refuses none');
    const unit = UNIT_NAMES[rule.within];
    if (i === trampoline)
      return new Fault('store-refused', `the trampoline itself crosses a ${unit}`, where);
    if (require === 'inline')
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
