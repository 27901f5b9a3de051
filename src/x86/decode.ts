// Bytes to instruction boundaries and branches, by iced-x86. The decoder takes about 40 ms to load,
// so the first question loads it and never an import. Its objects live outside the garbage
// collector, so a LinearDecoder is disposed and the one Instruction is reused for the life of the
// process. What leaves this file are plain records.

import { addrFromBits, bitsFromAddr, type Addr } from '../base/addr.js';
import { requireIced, type Iced } from './iced.js';

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

interface Loaded {
  readonly iced: Iced;
  readonly instruction: InstanceType<Iced['Instruction']>;
  readonly flows: ReadonlyMap<number, Flow>;
}

let loaded: Loaded | undefined;

function load(): Loaded {
  if (loaded) return loaded;
  const iced = requireIced();
  const f = iced.FlowControl;
  const flows = new Map<number, Flow>([
    [f.Next, 'next'],
    [f.UnconditionalBranch, 'jmp'],
    [f.IndirectBranch, 'jmp-indirect'],
    [f.ConditionalBranch, 'jcc'],
    [f.Return, 'ret'],
    [f.Call, 'call'],
    [f.IndirectCall, 'call-indirect'],
  ]);
  loaded = { iced, instruction: new iced.Instruction(), flows };
  return loaded;
}

/**
 * One run of code, copied into the decoder once and decoded from as many places as asked.
 * Offsets are relative to its start; addresses begin at `base`.
 */
export class LinearDecoder implements Disposable {
  readonly length: number;
  readonly #base: Addr;
  readonly #decoder: InstanceType<Iced['Decoder']>;

  constructor(bytes: Uint8Array, base: Addr = 0) {
    const { iced } = load();
    this.length = bytes.length;
    this.#base = base;
    // Lengths matter here and not legality: `lock call` faults when it runs, but it is six bytes
    // long.
    this.#decoder = new iced.Decoder(64, bytes, iced.DecoderOptions.NoInvalidCheck);
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
    const { instruction } = load();
    decoder.position = from;
    for (let at = from; ;) {
      decoder.decodeOut(instruction);
      let next = at + 1;
      if (instruction.isInvalid) decoder.position = next;
      else next = at + instruction.length;
      if (next > offset) return at;
      at = next;
    }
  }

  /** The instruction at an offset; `invalid` with length 1 where there is none. */
  at(offset: number): Decoded {
    const decoder = this.#decoder;
    const { instruction, flows, iced } = load();
    const at = this.#base + offset;
    if (offset < 0 || offset >= this.length)
      return { at, length: 1, flow: 'invalid', target: null, slot: null };
    decoder.position = offset;
    decoder.ip = bitsFromAddr(at);
    decoder.decodeOut(instruction);
    if (instruction.isInvalid) return { at, length: 1, flow: 'invalid', target: null, slot: null };
    const flow = flows.get(instruction.flowControl) ?? 'other';
    const direct =
      (flow === 'call' || flow === 'jmp' || flow === 'jcc') &&
      instruction.op0Kind === iced.OpKind.NearBranch64;
    return {
      at,
      length: instruction.length,
      flow,
      target: direct ? addrFromBits(instruction.nearBranchTarget) : null,
      slot: instruction.isIpRelMemoryOperand ? addrFromBits(instruction.ipRelMemoryAddress) : null,
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
