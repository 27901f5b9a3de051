// Bytes to instruction boundaries and branches, by iced-x86. The decoder takes some time to load,
// so the first question loads it and never an import. Its objects live outside the garbage
// collector, so a LinearDecoder is disposed and the one instruction is reused for the life of the
// process. What leaves this file are plain records.

import { addrFromBits, bitsFromAddr, type Addr } from '../base/addr.js';
import { requireIced } from './iced.js';
import { FLOW, type Decoder, type Instruction } from './wasm.js';

/**
 * Where control goes after an instruction. `other`: interrupts, system calls, undefined opcodes by
 * design.
 */
export type Flow =
  'next' | 'call' | 'jmp' | 'jcc' | 'ret' | 'call-indirect' | 'jmp-indirect' | 'other' | 'invalid';

export interface Decoded {
  readonly at: Addr;
  readonly length: number;
  readonly flow: Flow;
  /** Of a direct branch. */
  readonly target: Addr | null;
  /** The address that a RIP-relative operand names: the GOT slot of `call *x(%rip)`. */
  readonly slot: Addr | null;
}

const FLOWS: ReadonlyMap<number, Flow> = new Map<number, Flow>([
  [FLOW.next, 'next'],
  [FLOW.jmp, 'jmp'],
  [FLOW.jmpIndirect, 'jmp-indirect'],
  [FLOW.jcc, 'jcc'],
  [FLOW.ret, 'ret'],
  [FLOW.call, 'call'],
  [FLOW.callIndirect, 'call-indirect'],
]);

/**
 * One run of code, copied into the decoder once and decoded from as many places as asked.
 * Offsets are relative to its start; addresses begin at `base`.
 */
export class LinearDecoder implements Disposable {
  readonly length: number;
  readonly #base: Addr;
  readonly #decoder: Decoder;
  readonly #instruction: Instruction;

  constructor(bytes: Uint8Array, base: Addr = 0) {
    const { decoder, instruction } = requireIced();
    this.length = bytes.length;
    this.#base = base;
    this.#decoder = decoder(bytes);
    this.#instruction = instruction;
  }

  [Symbol.dispose](): void {
    this.#decoder.free();
  }

  /**
   * Where the instruction that covers `offset` begins, when decoding starts at `from`. Bytes that
   * are no instruction count as one byte each, as objdump shows them: data between functions must
   * not end the decoder.
   */
  covering(from: number, offset: number): number {
    const decoder = this.#decoder;
    const instruction = this.#instruction;
    decoder.seek(from);
    for (let at = from; ;) {
      decoder.decode();
      let next = at + 1;
      if (instruction.isInvalid()) decoder.seek(next);
      else next = at + instruction.length();
      if (next > offset) return at;
      at = next;
    }
  }

  /** The instruction at an offset; `invalid` with length 1 where there is none. */
  at(offset: number): Decoded {
    const decoder = this.#decoder;
    const instruction = this.#instruction;
    const at = this.#base + offset;
    const nothing: Decoded = { at, length: 1, flow: 'invalid', target: null, slot: null };
    if (offset < 0 || offset >= this.length) return nothing;
    decoder.seek(offset);
    decoder.setAddress(bitsFromAddr(at));
    decoder.decode();
    if (instruction.isInvalid()) return nothing;
    const flow = FLOWS.get(instruction.flow()) ?? 'other';
    const direct = flow === 'call' || flow === 'jmp' || flow === 'jcc';
    const target = direct ? instruction.target() : null;
    const slot = instruction.slot();
    return {
      at,
      length: instruction.length(),
      flow,
      target: target === null ? null : addrFromBits(target),
      slot: slot === null ? null : addrFromBits(slot),
    };
  }
}

/**
 * The one instruction at the start of some bytes. Code of more than a few instructions is a
 * LinearDecoder.
 */
export function decode(bytes: Uint8Array, at: Addr = 0): Decoded {
  using decoder = new LinearDecoder(bytes, at);
  return decoder.at(0);
}
