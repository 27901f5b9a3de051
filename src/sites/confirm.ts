// From "four bytes of this code lead to a trampoline" to a site, or to nothing. Those bytes count only as
// the displacement of a call or jump that really begins where decoding from the start of the function
// says so: bytes that merely look like a call occur inside other instructions (LuaJIT issue 164 is what comes of patching one).

import { Sweep, type Decoded } from '../x86/decode.js';
import { compiledForm, conditionOf, SITE_FORMS } from '../x86/forms.js';
import { SITE_TAIL, type Site, type SiteKind } from './site.js';

/** One byte run of code (a section) with the places at which decoding may start, ascending. */
export class Code implements Disposable {
  readonly bytes: Uint8Array;
  readonly #starts: Float64Array;
  #sweep: Sweep | undefined;
  /** The last boundary found: the next candidate is nearly always further on in the same function. */
  #last = 0;

  constructor(bytes: Uint8Array, starts: Float64Array) {
    this.bytes = bytes;
    this.#starts = starts;
  }

  [Symbol.dispose](): void {
    this.#sweep?.[Symbol.dispose]();
  }

  /** The nearest start at or before an offset; the beginning of the run where there is none. */
  #startBefore(offset: number): number {
    const starts = this.#starts;
    let low = 0;
    let high = starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (starts[middle]! <= offset) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? 0 : starts[low - 1]!;
  }

  /** The instruction that covers a byte. */
  instruction(offset: number): Decoded {
    this.#sweep ??= new Sweep(this.bytes);
    const start = this.#startBefore(offset);
    const from = this.#last >= start && this.#last <= offset ? this.#last : start;
    const at = this.#sweep.covering(from, offset);
    this.#last = at;
    return this.#sweep.at(at);
  }
}

/** What a branch is as a site: its kind, and whether it goes through a slot. */
export interface Branch {
  readonly at: number;
  readonly length: number;
  readonly kind: SiteKind;
  readonly condition: number;
  readonly indirect: boolean;
}

/** The branch whose displacement is the four bytes at `displacement`, or null: they belong to something else. */
export function branchAt(code: Code, displacement: number): Branch | null {
  const found = code.instruction(displacement);
  if (found.at + found.length !== displacement + 4) return null;
  const { flow, at, length } = found;
  if (flow === 'call' || flow === 'jmp') return { at, length, kind: flow, condition: 0, indirect: false };
  if (flow === 'jcc') {
    // The opcode byte is the last before the displacement whatever prefixes came before; `loop` and `jrcxz` have no four-byte form.
    return { at, length, kind: 'jcc', condition: code.bytes[displacement - 1]! & 15, indirect: false };
  }
  if (found.slot === null) return null;
  if (flow === 'call-indirect') return { at, length, kind: 'call', condition: 0, indirect: true };
  if (flow === 'jmp-indirect') return { at, length, kind: 'jmp', condition: 0, indirect: true };
  return null;
}

/** The branch that a table says begins at `offset`: there the boundary is given, so the opcode decides. */
export function branchFrom(bytes: Uint8Array, offset: number): Branch | null {
  const form = compiledForm(bytes, offset);
  if (form) {
    return { at: offset, length: form.length, kind: form.effect as SiteKind, condition: conditionOf(form, bytes, offset), indirect: form.indirect };
  }
  using code = new Code(bytes.subarray(offset, offset + MAX_INSTRUCTION), new Float64Array(0));
  if (code.bytes.length < SITE_FORMS.call.length) return null;
  const found = code.instruction(0);
  const branch = found.length > 4 ? branchAt(code, found.length - 4) : null;
  return branch && { ...branch, at: offset };
}

const MAX_INSTRUCTION = 15;

export function siteOf(branch: Branch, where: { section: number; at: number }, names: { key: string; keySymbol: string }, flags = 0): Site {
  return {
    section: where.section,
    at: where.at,
    length: branch.length,
    kind: branch.kind,
    condition: branch.condition,
    flags: flags | (branch.kind === 'call' ? 0 : SITE_TAIL),
    key: names.key,
    keySymbol: names.keySymbol,
  };
}
