// The instructions that a site or a trampoline may hold, as one table: fixed bytes and named
// fields. Reading (`recognise`) and writing (`emit`) are both derived from a row, so neither can
// know a form that the other does not. Every alternative of a non-tail site is exactly one
// instruction, of its site's length: a thread that was interrupted between two of them would come
// back into the middle of the call that replaced them, as once happened on i386 to a
// two-instruction "return 0". What stands behind a `ret` is not executed: no thread gets past it.
//
// A form that does nothing keeps the four bytes behind its opcode as they are (`kept32`): `test
// eax, imm32` in place of a call, `ret` in place of a jump. Such a form differs from what it
// replaces in the opcode alone, and one byte cannot tear, wherever the site lies. The flags that
// `test` changes are free at a call (psABI 3.2.1). The nops are what the kernel and earlier
// versions of this library left there.

import { hex, type Addr } from '../base/addr.js';
import { Fault } from '../base/fault.js';
import { invariant } from '../base/invariant.js';

/** What passing the instruction does. `ret0` is "return 0": it clears eax and falls through. */
export type Effect = 'call' | 'jmp' | 'jcc' | 'nop' | 'ret0' | 'ret';

// `compiled`: a compiler or a linker makes it of a call.
// prettier-ignore
const SITE_ROWS = {
  'call':         { bytes: 'e8 rel32',                   effect: 'call', compiled: true },
  // What the linker makes of `call *x@GOTPCREL(%rip)` when x turns out to be near: as long as that
  // one.
  'addr32-call':  { bytes: '67 e8 rel32',                effect: 'call', compiled: true },
  'call-got':     { bytes: 'ff 15 slot32',               effect: 'call', compiled: true },
  'jmp':          { bytes: 'e9 rel32',                   effect: 'jmp',  compiled: true },
  // The six-byte jump for a site that was `jmp *x@GOTPCREL(%rip)`: CS is a prefix that a jump
  // ignores.
  'cs-jmp':       { bytes: '2e e9 rel32',                effect: 'jmp',  compiled: false },
  'jmp-got':      { bytes: 'ff 25 slot32',               effect: 'jmp',  compiled: true },
  'jcc':          { bytes: '0f 8? rel32',                effect: 'jcc',  compiled: true },
  'nop5':         { bytes: '0f 1f 44 00 00',             effect: 'nop',  compiled: false },
  'nop6':         { bytes: '66 0f 1f 44 00 00',          effect: 'nop',  compiled: false },
  // cs cs cs xor %eax,%eax: the prefixes make it one instruction of the site's length.
  'ret0-5':       { bytes: '2e 2e 2e 31 c0',             effect: 'ret0', compiled: false },
  'ret0-6':       { bytes: '2e 2e 2e 2e 31 c0',          effect: 'ret0', compiled: false },
  'ret5':         { bytes: 'c3 cc cc cc cc',             effect: 'ret',  compiled: false },
  'ret6':         { bytes: 'c3 cc cc cc cc cc',          effect: 'ret',  compiled: false },
  // A site that is off, and a branch of static_key.h that is not taken: the constant is where the
  // call or the jump would lead.
  'test5':        { bytes: 'a9 kept32',                  effect: 'nop',  compiled: false },
  // Behind the prefix of `addr32-call`: no memory is addressed, so it changes nothing.
  'test6':        { bytes: '67 a9 kept32',               effect: 'nop',  compiled: false },
  'ret5-kept':    { bytes: 'c3 kept32',                  effect: 'ret',  compiled: false },
  'ret6-kept':    { bytes: '2e c3 kept32',               effect: 'ret',  compiled: false },
} as const satisfies Record<string, { bytes: string; effect: Effect; compiled: boolean }>;

// A trampoline is five bytes of jump or return and three that say what it is: ud1 %esp,%ecx, which
// never runs, or "SCT" as kernels before 5.19 wrote it.
// prettier-ignore
const TRAMPOLINE_ROWS = {
  'jmp':           { bytes: 'e9 rel32 0f b9 cc',       effect: 'jmp' },
  'ret-built':     { bytes: 'c3 cc 90 90 90 0f b9 cc', effect: 'ret' },
  'ret':           { bytes: 'c3 cc cc cc cc 0f b9 cc', effect: 'ret' },
  'jmp-sct':       { bytes: 'e9 rel32 53 43 54',       effect: 'jmp' },
  'ret-built-sct': { bytes: 'c3 90 90 90 90 53 43 54', effect: 'ret' },
  'ret-int3-sct':  { bytes: 'c3 cc 90 90 90 53 43 54', effect: 'ret' },
  'ret-sct':       { bytes: 'c3 cc cc cc cc 53 43 54', effect: 'ret' },
  'ret-kept':      { bytes: 'c3 kept32 0f b9 cc',      effect: 'ret' },
} as const satisfies Record<string, { bytes: string; effect: Effect }>;

export type SiteFormName = keyof typeof SITE_ROWS;

// Lengths as types, so that a form of another length is asked for wherever each length is listed.
type Bytes<Written extends string> = Written extends `${infer Token} ${infer Rest}`
  ? [...Bytes<Token>, ...Bytes<Rest>]
  : Written extends 'rel32' | 'slot32' | 'kept32'
    ? [0, 0, 0, 0]
    : [0];
type LengthOf<N extends SiteFormName> = Bytes<(typeof SITE_ROWS)[N]['bytes']>['length'] & number;
type Rows = typeof SITE_ROWS;
/** How long the calls and jumps are that compilers make to that effect: so long are their sites. */
export type SiteLength<E extends Effect = Effect> = {
  [N in SiteFormName]: Rows[N] extends { readonly effect: E; readonly compiled: true }
    ? LengthOf<N>
    : never;
}[SiteFormName];
/** The forms of one length. */
export type SiteFormOf<L extends number> = {
  [N in SiteFormName]: L extends LengthOf<N> ? N : never;
}[SiteFormName];
export type TrampolineFormName = keyof typeof TRAMPOLINE_ROWS;

export interface Form<Name extends string = string> {
  readonly name: Name;
  readonly effect: Effect;
  readonly length: number;
  /**
   * Whether compilers and linkers emit it for a call to a trampoline; the others are only ever
   * patched in.
   */
  readonly compiled: boolean;
  /** Whether its displacement names a slot that holds the target, and not the target. */
  readonly indirect: boolean;
  /**
   * Offset of the 32-bit displacement, which counts from the end of the *instruction*; -1 if none.
   */
  readonly displacement: number;
  /** Offset of the byte whose low half is a condition; -1 if none. */
  readonly condition: number;
  /** Whether the four bytes behind its opcode are whatever stood there. */
  readonly keeps: boolean;
  readonly bytes: Uint8Array;
  /** 1-bits where a byte of the form is fixed. */
  readonly mask: Uint8Array;
}

/**
 * Bytes of a displacement, the last ones of every direct branch: what may change between two
 * functions. A trampoline's counts from the end of its jump and not of its eight bytes.
 */
export const DISPLACEMENT = 4;

/** `0f 8? rel32` to bytes, mask and fields: `?` is half a byte that holds a condition. */
function form<Name extends string>(
  name: Name,
  row: { bytes: string; effect: Effect; compiled?: boolean },
): Form<Name> {
  const bytes: number[] = [];
  const mask: number[] = [];
  let displacement = -1;
  let condition = -1;
  let indirect = false;
  let keeps = false;
  for (const token of row.bytes.split(' ')) {
    if (token === 'rel32' || token === 'slot32' || token === 'kept32') {
      keeps = token === 'kept32';
      if (!keeps) displacement = bytes.length;
      indirect = token === 'slot32';
      bytes.push(0, 0, 0, 0);
      mask.push(0, 0, 0, 0);
    } else if (token.endsWith('?')) {
      condition = bytes.length;
      bytes.push(Number.parseInt(token.replace('?', '0'), 16));
      mask.push(0xf0);
    } else {
      bytes.push(Number.parseInt(token, 16));
      mask.push(0xff);
    }
  }
  return {
    name,
    effect: row.effect,
    length: bytes.length,
    compiled: row.compiled ?? false,
    indirect,
    displacement,
    condition,
    keeps,
    bytes: Uint8Array.from(bytes),
    mask: Uint8Array.from(mask),
  };
}

function forms<Rows extends Record<string, { bytes: string; effect: Effect; compiled?: boolean }>>(
  rows: Rows,
): { readonly [N in keyof Rows & string]: Form<N> } {
  const made: Record<string, Form> = {};
  for (const [name, row] of Object.entries(rows)) made[name] = form(name, row);
  return made as { readonly [N in keyof Rows & string]: Form<N> };
}

export const SITE_FORMS: { readonly [N in SiteFormName]: Form<N> } = forms(SITE_ROWS);
export const TRAMPOLINE_FORMS: { readonly [N in TrampolineFormName]: Form<N> } =
  forms(TRAMPOLINE_ROWS);
export const TRAMPOLINE_LENGTH = 8;

export type SiteForm = Form<SiteFormName>;
export type TrampolineForm = Form<TrampolineFormName>;

const ALL_SITE_FORMS: readonly SiteForm[] = Object.values(SITE_FORMS);
const ALL_TRAMPOLINE_FORMS: readonly TrampolineForm[] = Object.values(TRAMPOLINE_FORMS);

/**
 * By first byte, those that a compiler emits: the lookup that is done once for each of a million
 * sites.
 */
const COMPILED: readonly (readonly SiteForm[])[] = Array.from({ length: 256 }, (_, first) =>
  ALL_SITE_FORMS.filter((f) => f.compiled && f.bytes[0] === first),
);

function matches(form: Form, bytes: Uint8Array, offset: number): boolean {
  if (offset < 0 || offset + form.length > bytes.length) return false;
  for (let i = 0; i < form.length; i++)
    if ((bytes[offset + i]! & form.mask[i]!) !== form.bytes[i]) return false;
  return true;
}

/**
 * The form of the call, jump or conditional jump that a compiler or linker put at `offset`, by its
 * opcode alone: whether an instruction begins there at all is for the caller to know.
 */
export function compiledForm(bytes: Uint8Array, offset: number): SiteForm | null {
  for (const form of COMPILED[bytes[offset] ?? 0]!) if (matches(form, bytes, offset)) return form;
  return null;
}

/**
 * The compiled forms without those that are another one behind a prefix (`67 e8` is `e8` behind
 * `67`): every compiled branch has exactly one of these before its displacement, so a search of
 * bytes that does not know where instructions begin looks for them.
 */
const OPCODES: readonly SiteForm[] = ALL_SITE_FORMS.filter(
  (longer) =>
    longer.compiled &&
    !ALL_SITE_FORMS.some((f) => f.compiled && f !== longer && endsWith(longer, f)),
);
const OPCODES_BY_FIRST: readonly (readonly SiteForm[] | null)[] = Array.from(
  { length: 256 },
  (_, first) => {
    const forms = OPCODES.filter(
      ({ mask: [fixed], bytes: [lead] }) => fixed !== undefined && (first & fixed) === lead,
    );
    return forms.length === 0 ? null : forms;
  },
);
/** The lengths between which every site's lies. */
export const SHORTEST_SITE: number = Math.min(...ALL_SITE_FORMS.map((f) => f.length));
export const LONGEST_SITE: number = Math.max(...ALL_SITE_FORMS.map((f) => f.length));

function endsWith(longer: Form, shorter: Form): boolean {
  const skipped = longer.displacement - shorter.displacement;
  if (skipped <= 0) return false;
  return longer.bytes
    .subarray(skipped, longer.displacement)
    .every((byte, i) => (byte & shorter.mask[i]!) === shorter.bytes[i]);
}

/**
 * The opcode of a branch, whatever prefixes come before it, with its displacement; null where the
 * bytes at `offset` are none, or end too early.
 */
export function branchOpcode(bytes: Uint8Array, offset: number): SiteForm | null {
  const forms = OPCODES_BY_FIRST[bytes[offset] ?? 0] ?? null;
  if (forms === null) return null; // as at nearly every byte
  for (const each of forms) if (matches(each, bytes, offset)) return each;
  return null;
}

/** The same for the opcode whose displacement is the four bytes at `displacement`. */
export function branchOpcodeBefore(bytes: Uint8Array, displacement: number): SiteForm | null {
  for (const each of OPCODES)
    if (matches(each, bytes, displacement - each.displacement)) return each;
  return null;
}

/** The end of the branch inside its form: a trampoline is longer than its jump. */
const branchEnd = (form: Form): number => form.displacement + DISPLACEMENT;

/** Where the displacement of a matched form leads: the target, or the slot of an indirect one. */
export function destination(form: Form, bytes: Uint8Array, offset: number, at: Addr): Addr {
  const d = offset + form.displacement;
  const rel32 = bytes[d]! | (bytes[d + 1]! << 8) | (bytes[d + 2]! << 16) | (bytes[d + 3]! << 24);
  return at + branchEnd(form) + rel32;
}

/** The condition of a matched jcc, 0 to 15; 0 for every other form. */
export function conditionOf(form: Form, bytes: Uint8Array, offset: number): number {
  return form.condition < 0 ? 0 : bytes[offset + form.condition]! & 15;
}

/** What stands at a site or trampoline. */
export interface Recognised<F extends Form = Form> {
  readonly form: F;
  /** Target, or slot of an indirect form; null where the form goes nowhere. */
  readonly target: Addr | null;
  readonly condition: number;
}

function recogniseAs<F extends Form>(
  all: readonly F[],
  bytes: Uint8Array,
  at: Addr,
): Recognised<F> | null {
  for (const form of all) {
    if (form.length !== bytes.length || !matches(form, bytes, 0)) continue;
    return {
      form,
      target: form.displacement < 0 ? null : destination(form, bytes, 0, at),
      condition: conditionOf(form, bytes, 0),
    };
  }
  return null;
}

/**
 * `bytes` are the site's own, all of them and no more: its length is known and decides between
 * `ret5` and `ret6`.
 */
export function recognise(bytes: Uint8Array, at: Addr): Recognised<SiteForm> | null {
  return recogniseAs(ALL_SITE_FORMS, bytes, at);
}

/** `bytes` are the eight of a trampoline. */
export function recogniseTrampoline(
  bytes: Uint8Array,
  at: Addr,
): Recognised<TrampolineForm> | null {
  return recogniseAs(ALL_TRAMPOLINE_FORMS, bytes, at);
}

export interface Placement {
  readonly at: Addr;
  /** For the forms that have one; the slot for an indirect form. */
  readonly target?: Addr | null;
  readonly condition?: number;
  /** What stands there, for a form that keeps bytes of it; else they are 0. */
  readonly over?: ArrayLike<number>;
}

/**
 * Writes the form over `length` bytes from `offset`, allocating nothing: once for each of a hundred
 * thousand sites. Bytes that the form keeps are left as they are.
 * @throws Fault `out-of-reach` where the displacement does not fit 32 bits.
 */
export function emitInto(
  form: Form,
  into: Uint8Array,
  offset: number,
  at: Addr,
  target: Addr,
  condition: number,
): void {
  const { bytes, mask, length, displacement } = form;
  for (let i = 0; i < length; i++) if (mask[i] !== 0) into[offset + i] = bytes[i]!;
  if (form.condition >= 0) into[offset + form.condition]! |= condition & 15;
  if (displacement < 0) return;
  const rel32 = target - (at + branchEnd(form));
  if (rel32 !== (rel32 | 0))
    throw new Fault(
      'out-of-reach',
      `${hex(target)} is ${rel32} bytes away, more than a 32-bit displacement holds`,
      { at: hex(at) },
    );
  const d = offset + displacement;
  into[d] = rel32;
  into[d + 1] = rel32 >> 8;
  into[d + 2] = rel32 >> 16;
  into[d + 3] = rel32 >> 24;
}

/** @throws Fault `out-of-reach` where the displacement does not fit 32 bits. */
export function emit(
  form: Form,
  { at, target = null, condition = 0, over = [] }: Placement,
): Uint8Array {
  const bytes = new Uint8Array(form.length);
  if (form.keeps) bytes.set(over);
  invariant(form.displacement < 0 || target !== null, `${form.name} needs a target`);
  emitInto(form, bytes, 0, at, target ?? 0, condition);
  return bytes;
}
