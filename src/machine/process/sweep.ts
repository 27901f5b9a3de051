// What an update does to every one of its sites, as machine code: looking at them, and storing. In
// JavaScript a hundred thousand sites cost twenty milliseconds, the first time a multiple of that,
// and which instructions the engine makes of a store is its own affair; here a store of the
// protocol is one instruction, chosen by us.
//
// The code lies in the ground, beside the trap handler. It is handed one block of words and touches
// nothing but the columns, the text and that block. It calls nothing and cannot fail but by saying
// at which site it stopped.

import { hex, LINE, UNIT_NAMES, UNITS, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { invariant } from '../../base/invariant.js';
import type { Batch } from '../../plan/batch.js';
import {
  KINDS,
  type Destination,
  type Drawn,
  type SiteColumns,
  changedPart,
} from '../../plan/draw.js';
import type { Acceptance } from '../../plan/protocol.js';
import { formOf, TRANSFORM } from '../../plan/transform.js';
import {
  assemble,
  bytes,
  label,
  mem,
  mem32,
  mem8,
  type Code,
  type Instruction,
  type Program,
} from '../../trap/assembler.js';
import type { SiteForm } from '../../x86/forms.js';
import type { Native } from './native.js';

/**
 * The words of a store: edits [from, to) of a batch's columns, and how far from the site it is
 * written.
 */
export const STORE = { from: 0, to: 8, at: 16, length: 24, old: 32, new: 40, away: 48 } as const;
/** The block of a survey: columns as SiteColumns lays them out, and what is found. */
const SURVEY = {
  at: 0,
  count: 8,
  forms: 16,
  outer: 24,
  unit: 32,
  trampoline: 40,
  inline: 48,
  unchanged: 56,
  original: 64,
  refused: 72,
} as const;
/** One instruction of the new target, for the sites of one kind and length. */
const FORM = { template: 0, from: 8, mask: 16, shift: 24, tail: 25, size: 32 } as const;

/** Bytes that a store of the four displacement bytes cannot change. */
const OUTER = -0xff_ffff_ff01n; // 0xffffff00_000000ff

// A column of addresses holds doubles, and the instruction table has no floating point: these two
// are cvttsd2si.
const siteOf = {
  rcx: bytes(0xf2, 0x48, 0x0f, 0x2c, 0x04, 0xce) /* rax, [rsi+8*rcx] */,
  next: bytes(0xf2, 0x48, 0x0f, 0x2c, 0x06) /* rax, [rsi] */,
};

const SAVED = ['rbx', 'rbp', 'r12', 'r13', 'r14', 'r15'] as const;
const save: Program = SAVED.map((r): Instruction => ['push', r]);
const leave: Program = [...SAVED.toReversed().map((r): Instruction => ['pop', r]), ['ret']];

/**
 * For every edit, `body` with rcx its index, rax where its first byte is written, rbx and rdx the
 * old and the new bytes.
 */
const stores = (name: string, body: Program): Program => [
  label(name),
  ...save,
  ['mov', 'rcx', mem('rdi', STORE.from)],
  ['mov', 'r9', mem('rdi', STORE.to)],
  ['mov', 'rsi', mem('rdi', STORE.at)],
  ['mov', 'r10', mem('rdi', STORE.length)],
  ['mov', 'rbx', mem('rdi', STORE.old)],
  ['mov', 'rdx', mem('rdi', STORE.new)],
  ['mov', 'r8', mem('rdi', STORE.away)],
  ['movabs', 'r12', OUTER],
  ['jmp', `${name}-more`],
  label(`${name}-edit`),
  siteOf.rcx,
  ['add', 'rax', 'r8'],
  ...body,
  label(`${name}-next`),
  ['inc', 'rcx'],
  label(`${name}-more`),
  ['cmp', 'rcx', 'r9'],
  ['jb', `${name}-edit`],
  ['mov', 'rcx', -1],
  label(`${name}-out`),
  ['mov', 'rax', 'rcx'],
  ...leave,
];

/**
 * One byte after the other, ascending, as the protocol's step says; the first is already in r11 or
 * skipped.
 */
const ascending = (name: string, from: 0 | 1): Program => [
  ['mov', 'r11', mem({ base: 'rdx', index: 'rcx', scale: 8 })],
  ...(from === 0 ? ([['mov', mem8('rax'), 'r11b']] as const) : []),
  ...[1, 2, 3, 4].flatMap((b): Program => [
    ['shr', 'r11', 8],
    ['mov', mem8('rax', b), 'r11b'],
  ]),
  ['movzx', 'ebp', mem8({ base: 'r10', index: 'rcx' })],
  ['sub', 'ebp', 5],
  ['je', `${name}-next`],
  label(`${name}-longer`),
  ['shr', 'r11', 8],
  ['mov', mem8('rax', 5), 'r11b'],
  ['inc', 'rax'],
  ['dec', 'ebp'],
  ['jne', `${name}-longer`],
];

const STORES: Program = [
  ...stores('trap', [['mov', mem8('rax'), 0xcc]]),
  ...stores('first', [
    ['movzx', 'r11d', mem8({ base: 'rdx', index: 'rcx', scale: 8 })],
    ['mov', mem8('rax'), 'r11b'],
  ]),
  ...stores('rest', ascending('rest', 1)),
  ...stores('whole', ascending('whole', 0)),
  // One store: of the displacement where only that changes, else of eight bytes inside the line,
  // which hold up to three of a neighbour and so are exchanged only if nobody changed them.
  ...stores('exchange', [
    ['mov', 'r11', mem({ base: 'rbx', index: 'rcx', scale: 8 })],
    ['mov', 'rdi', mem({ base: 'rdx', index: 'rcx', scale: 8 })],
    ['mov', 'rbp', 'r11'],
    ['xor', 'rbp', 'rdi'],
    ['je', 'exchange-next'],
    ['test', 'rbp', 'r12'],
    ['jne', 'wide'],
    ['shr', 'rdi', 8],
    ['mov', mem32('rax', 1), 'edi'],
    ['jmp', 'exchange-next'],
    label('wide'),
    ['mov', 'r13', 'rax'],
    ['or', 'r13', LINE - 1],
    ['sub', 'r13', 7],
    ['cmp', 'rax', 'r13'],
    ['cmovb', 'r13', 'rax'], // the window: at the site, or the last eight bytes of its line
    ['mov', 'r14', 'rcx'],
    ['mov', 'r15', 'rax'],
    ['sub', 'r15', 'r13'],
    ['shl', 'r15d', 3],
    ['movzx', 'eax', mem8({ base: 'r10', index: 'rcx' })],
    ['shl', 'eax', 3],
    ['mov', 'ecx', 64],
    ['sub', 'ecx', 'eax'],
    ['mov', 'rbp', -1],
    ['shr', 'rbp', 'cl'], // ones for the site's bytes
    ['mov', 'ecx', 'r15d'],
    ['shl', 'rbp', 'cl'],
    ['shl', 'r11', 'cl'],
    ['shl', 'rdi', 'cl'],
    ['not', 'rbp'],
    ['mov', 'rax', mem('r13')],
    ['and', 'rax', 'rbp'],
    ['or', 'rdi', 'rax'],
    ['or', 'rax', 'r11'],
    ['lock', 'cmpxchg', mem('r13'), 'rdi'],
    ['mov', 'rcx', 'r14'],
    ['jne', 'exchange-out'],
  ]),
];

/**
 * For every site: the text must be what the mirror says; the new instruction; whether the protocol
 * can put it there, and if not, the file's own, which calls the trampoline. rsi walks the
 * addresses, r8 the old bytes, r15 the lengths; r13 is their number, by which the other columns lie
 * behind these. Sites are read four bytes from each end, which overlap, so that nothing beyond the
 * site is touched.
 */
const survey = (name: string, instruction: Program): Program => [
  label(name),
  ...save,
  ['mov', 'rsi', mem('rdi', SURVEY.at)],
  ['mov', 'r13', mem('rdi', SURVEY.count)],
  ['mov', 'r14', mem('rdi', SURVEY.forms)],
  ['lea', 'r12', mem({ base: 'rsi', index: 'r13', scale: 8 })],
  ['lea', 'r8', mem({ base: 'r12', index: 'r13', scale: 8 })],
  ['lea', 'r15', mem({ base: 'r8', index: 'r13', scale: 8 })],
  ['lea', 'r15', mem({ base: 'r15', index: 'r13', scale: 8 })],
  ['xor', 'r9d', 'r9d'],
  ['xor', 'r10d', 'r10d'],
  ['jmp', `${name}-more`],
  label(`${name}-site`),
  siteOf.next,
  ['movzx', 'ebx', mem8({ base: 'r15', index: 'r13' })],
  ['movzx', 'edx', mem8('r15')],
  ['lea', 'ebx', mem({ base: 'rdx', index: 'rbx', scale: 2, disp: -5 })],
  ['shl', 'ebx', 5], // FORM.size
  ['add', 'rbx', 'r14'],
  ['mov', 'r11d', mem32('rax')],
  ['mov', 'ebp', mem32({ base: 'rax', index: 'rdx', disp: -4 })],
  ['movzx', 'ecx', mem8('rbx', FORM.tail)],
  ['shl', 'rbp', 'cl'],
  ['or', 'r11', 'rbp'],
  ['cmp', 'r11', mem('r8')],
  ['jne', `${name}-differs`],
  ...instruction,
  label(`${name}-accept`),
  ['mov', 'rdx', 'r11'],
  ['xor', 'rdx', 'rbp'],
  ['je', `${name}-unchanged`],
  ['test', mem('rdi', SURVEY.outer), 'rdx'],
  ['jne', `${name}-all`],
  ['lea', 'rcx', mem('rax', 1)],
  ['and', 'rcx', mem('rdi', SURVEY.unit)],
  ['add', 'rcx', 3],
  ['cmp', 'rcx', mem('rdi', SURVEY.unit)],
  ['jbe', `${name}-write`],
  ['jmp', `${name}-refused`],
  label(`${name}-all`),
  ['mov', 'rcx', 'rax'],
  ['and', 'rcx', mem('rdi', SURVEY.unit)],
  ['movzx', 'edx', mem8('r15')],
  ['lea', 'rcx', mem({ base: 'rcx', index: 'rdx', disp: -1 })],
  ['cmp', 'rcx', mem('rdi', SURVEY.unit)],
  ['ja', `${name}-refused`],
  ['jmp', `${name}-write`],
  label(`${name}-unchanged`),
  ['inc', 'r9'],
  label(`${name}-write`),
  ['mov', mem({ base: 'r8', index: 'r13', scale: 8 }), 'rbp'],
  ['xor', 'ecx', 'ecx'],
  ['cmp', 'rbp', mem({ base: 'rsi', index: 'r13', scale: 8 })],
  ['sete', 'cl'],
  ['add', 'r10', 'rcx'],
  ['add', 'rsi', 8],
  ['add', 'r8', 8],
  ['inc', 'r15'],
  label(`${name}-more`),
  ['cmp', 'rsi', 'r12'],
  ['jb', `${name}-site`],
  ['mov', mem('rdi', SURVEY.unchanged), 'r9'],
  ['mov', mem('rdi', SURVEY.original), 'r10'],
  ['mov', 'rax', -1],
  ...leave,
  label(`${name}-refused`),
  ['cmp', 'rsi', mem('rdi', SURVEY.trampoline)],
  ['je', `${name}-refuse`],
  ['cmp', mem('rdi', SURVEY.inline), 0],
  ['jne', `${name}-refuse`],
  ['cmp', 'rbp', mem({ base: 'rsi', index: 'r13', scale: 8 })],
  ['mov', 'rbp', mem({ base: 'rsi', index: 'r13', scale: 8 })],
  ['jne', `${name}-accept`],
  label(`${name}-refuse`),
  ['mov', mem('rdi', SURVEY.refused), 1],
  label(`${name}-differs`),
  ['mov', 'rax', 'rsi'],
  ['sub', 'rax', mem('rdi', SURVEY.at)],
  ['shr', 'rax', 3],
  ...leave,
];

const SURVEYS: Program = [
  ...survey('draw', [
    ['mov', 'rbp', mem('rbx', FORM.from)],
    ['sub', 'rbp', 'rax'],
    ['and', 'rbp', mem('rbx', FORM.mask)],
    ['movzx', 'ecx', mem8('rbx', FORM.shift)],
    ['shl', 'rbp', 'cl'],
    ['or', 'rbp', mem('rbx', FORM.template)],
    ['movzx', 'edx', mem8({ base: 'r15', index: 'r13', scale: 2 })],
    ['shl', 'edx', 8], // the condition of a jcc is in its second byte; others have none
    ['or', 'rbp', 'rdx'],
  ]),
  ...survey('restore', [['mov', 'rbp', mem({ base: 'rsi', index: 'r13', scale: 8 })]]),
];

export function sweeps(): Code {
  return assemble([...STORES, ...SURVEYS]);
}

/** The sweeps that store: operations of a tape (tape.ts). */
export const SWEEPINGS = ['trap', 'first', 'rest', 'whole', 'exchange'] as const;
export type Sweeping = (typeof SWEEPINGS)[number];
/** What a survey needs of one key's sites in one text: found once, for the columns never move. */
interface Prepared {
  readonly at: Addr;
  /** Which rows of the forms its sites use. */
  readonly rows: readonly number[];
}

/** Rows of the forms: kind by length. */
const ROWS = KINDS.flatMap((kind) => ([5, 6] as const).map((length) => ({ kind, length })));

export class Sweep {
  readonly #run: Readonly<Record<'draw' | 'restore', (block: number) => number>>;
  readonly #native: Native;
  /**
   * Blocks that the code reads, as halves of words, for a bigint costs more than most of what it
   * does.
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
    const procedure = (name: string): ((block: number) => number) =>
      native.procedure(at + labels.get(name)!);
    this.#run = { draw: procedure('draw'), restore: procedure('restore') };
    this.#native = native;
    const memory = new Uint8Array(128 + ROWS.length * FORM.size);
    this.#block = new Int32Array(memory.buffer, 0, 32);
    this.#formBytes = memory.subarray(128);
    this.#forms = new Int32Array(memory.buffer, 128);
    this.#blockAt = native.addressOf(memory);
    this.#formsAt = this.#blockAt + 128;
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
        invariant(length === 5 || length === 6, 'a site has five or six bytes');
        used.add(2 * kind[i]! + length - 5);
      }
      prepared = { at: this.#native.addressOf(batch.at), rows: [...used] };
      this.#prepared.set(columns, prepared);
    }
    return prepared;
  }

  /**
   * `draw` of plan/draw.ts, and the text held against the mirror in the same pass: the same answer
   * and the same refusals.
   * @throws Fault `foreign-trap`, `drift`, `store-refused`, `not-inline`, `out-of-reach`
   */
  survey(
    name: string,
    columns: SiteColumns,
    destination: Destination | null,
    rule: Acceptance,
    require?: 'inline',
  ): Drawn {
    const { batch, original, trampoline } = columns;
    const { at, rows } = this.#prepare(columns);
    const block = this.#block;
    if (destination) for (const row of rows) this.#form(row, destination, batch);
    this.#set(block, SURVEY.at, at);
    this.#set(block, SURVEY.count, batch.count);
    this.#set(block, SURVEY.forms, this.#formsAt);
    // Where all bytes count, no change is one of the displacement alone.
    block[SURVEY.outer / 4] = rule.bytes === 'changed' ? 0xff : -1;
    block[SURVEY.outer / 4 + 1] = rule.bytes === 'changed' ? -0x100 : -1;
    this.#set(block, SURVEY.unit, rule.within === null ? -1 : UNITS[rule.within] - 1);
    this.#set(block, SURVEY.trampoline, trampoline < 0 ? 0 : at + 8 * trampoline);
    this.#set(block, SURVEY.inline, require === 'inline' ? 1 : 0);
    this.#set(block, SURVEY.refused, 0);
    const stopped = this.#run[destination ? 'draw' : 'restore'](this.#blockAt);
    if (stopped >= 0) throw this.#refusal(name, columns, stopped, rule, require);
    const unchanged = block[SURVEY.unchanged / 4]!;
    const back = trampoline >= 0 && sameEight(batch.new, original, 8 * trampoline) ? 1 : 0;
    const sites = batch.count - (trampoline >= 0 ? 1 : 0);
    const onTrampoline = block[SURVEY.original / 4]! - back;
    return {
      batch: unchanged === 0 ? batch : changedPart(batch, unchanged),
      inline: sites - onTrampoline,
      trampoline: onTrampoline,
    };
  }

  /** Fills one row of the forms for a target. */
  #form(row: number, d: Destination, { at, count }: Batch): void {
    const { kind, length } = ROWS[row]!;
    const form = formOf(kind, d.kind, length);
    const { to } = TRANSFORM[kind][d.kind];
    const away = to === null ? 0 : to === 'target' ? d.way : d[to];
    const { displacement } = form;
    const from = away - (displacement + 4);
    if (displacement >= 0) {
      // Between the first site and the last a distance only shrinks and grows, so the two ends tell
      // for all.
      const [first, last] = [at[0]!, at[count - 1]!];
      const far =
        from - first !== ((from - first) | 0)
          ? first
          : from - last !== ((from - last) | 0)
            ? last
            : null;
      if (far !== null)
        throw new Fault('out-of-reach', `${hex(away)} is more than a 32-bit displacement away`, {
          at: hex(far),
        });
    }
    const base = row * FORM.size;
    if (this.#formed[row] !== form) {
      this.#formed[row] = form;
      this.#formBytes.fill(0, base, base + FORM.size);
      this.#formBytes.set(form.bytes, base + FORM.template);
      if (displacement >= 0) {
        this.#forms[(base + FORM.mask) / 4] = -1;
        this.#formBytes[base + FORM.shift] = 8 * displacement;
      }
      this.#formBytes[base + FORM.tail] = 8 * (length - 4);
    }
    if (displacement >= 0) this.#set(this.#forms, base + FORM.from, from);
  }

  #refusal(
    name: string,
    { batch, trampoline }: SiteColumns,
    i: number,
    rule: Acceptance,
    require?: 'inline',
  ): Fault {
    const at = batch.at[i]!;
    const where = { at: hex(at) };
    if (this.#block[SURVEY.refused / 4] === 0) {
      const first = new Uint8Array(this.#native.view(at, 1))[0];
      const trapped = first === 0xcc && batch.old[8 * i] !== 0xcc;
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
