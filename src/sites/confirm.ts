// From "four bytes of this code lead to a trampoline" to a site, or to nothing. Those bytes count
// only as the displacement of a call or jump that really begins where decoding from the start of
// the function says so: bytes that merely look like a call occur inside other instructions (LuaJIT
// issue 164 is what comes of patching one).

import { lastNotAbove } from '../base/search.js';
import { LinearDecoder, type Decoded } from '../x86/decode.js';
import { compiledForm, conditionOf, SITE_FORMS } from '../x86/forms.js';
import { SITE_TAIL, type CallKind, type Site } from './site.js';

/** One byte run of code (a section) with the places at which decoding may start, ascending. */
export class Code implements Disposable {
  readonly bytes: Uint8Array;
  readonly #starts: Float64Array;
  #decoder: LinearDecoder | undefined;
  /**
   * The last boundary found: the next candidate is nearly always further on in the same function.
   */
  #last = 0;

  constructor(bytes: Uint8Array, starts: Float64Array) {
    this.bytes = bytes;
    this.#starts = starts;
  }

  [Symbol.dispose](): void {
    this.#decoder?.[Symbol.dispose]();
  }

  /** The nearest start at or before an offset; the beginning of the run where there is none. */
  #startBefore(offset: number): number {
    return this.#starts[lastNotAbove(this.#starts, offset)] ?? 0;
  }

  /** Where the instruction that covers a byte begins. */
  covering(offset: number): number {
    this.#decoder ??= new LinearDecoder(this.bytes);
    const start = this.#startBefore(offset);
    const from = this.#last >= start && this.#last <= offset ? this.#last : start;
    return (this.#last = this.#decoder.covering(from, offset));
  }

  instruction(at: number): Decoded {
    this.#decoder ??= new LinearDecoder(this.bytes);
    return this.#decoder.at(at);
  }
}

/** What a branch is as a site: its kind, and whether it goes through a slot. */
export interface Branch {
  readonly at: number;
  readonly length: number;
  readonly kind: CallKind;
  readonly condition: number;
  readonly indirect: boolean;
}

/**
 * The branch whose displacement is the four bytes at `displacement`, or null: they belong to
 * something else.
 */
export function branchAt(code: Code, displacement: number): Branch | null {
  const at = code.covering(displacement);
  return plainBranch(code.bytes, at, displacement) ?? decodedBranch(code, at, displacement);
}

/**
 * At a boundary the opcode settles what the instruction is, unless prefixes come before it: nearly
 * all sites end here.
 */
function plainBranch(bytes: Uint8Array, at: number, displacement: number): Branch | null {
  const form = compiledForm(bytes, at);
  if (!form || at + form.displacement !== displacement) return null;
  return {
    at,
    length: form.length,
    kind: form.effect as CallKind,
    condition: conditionOf(form, bytes, at),
    indirect: form.indirect,
  };
}

function decodedBranch(code: Code, at: number, displacement: number): Branch | null {
  const { flow, length, slot } = code.instruction(at);
  if (at + length !== displacement + 4) return null;
  if (flow === 'call' || flow === 'jmp')
    return { at, length, kind: flow, condition: 0, indirect: false };
  // The opcode byte is the last before the displacement whatever prefixes came before; `loop` and
  // `jrcxz` have no four-byte form.
  if (flow === 'jcc')
    return {
      at,
      length,
      kind: 'jcc',
      condition: code.bytes[displacement - 1]! & 15,
      indirect: false,
    };
  if (slot === null) return null;
  if (flow === 'call-indirect') return { at, length, kind: 'call', condition: 0, indirect: true };
  if (flow === 'jmp-indirect') return { at, length, kind: 'jmp', condition: 0, indirect: true };
  return null;
}

/** The branch that a table says begins at `offset`: there the boundary is given. */
export function branchFrom(bytes: Uint8Array, offset: number): Branch | null {
  const form = compiledForm(bytes, offset);
  if (form) return plainBranch(bytes, offset, offset + form.displacement);
  using code = new Code(bytes.subarray(offset, offset + MAX_INSTRUCTION), new Float64Array(0));
  if (code.bytes.length < SITE_FORMS.call.length) return null;
  const { length } = code.instruction(0);
  const branch = length > 4 ? decodedBranch(code, 0, length - 4) : null;
  return branch && { ...branch, at: offset };
}

const MAX_INSTRUCTION = 15;

export function siteOf(
  branch: Branch,
  where: { section: number; at: number },
  names: { key: string; keySymbol: string },
  flags = 0,
): Site {
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
