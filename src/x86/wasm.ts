// The decoder in the WebAssembly of iced-x86, called without the package's own JavaScript: 924 KB
// of classes, of which two were used, and node took as long to parse them as to compile and start
// the module. The functions are those that wasm-bindgen made for version 1.21.0, which package.json
// names exactly; test/x86/decode.test.ts holds them against the package.

/** A place in the module's memory. */
type Pointer = number;

/** What is used of the module's exports. */
interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  /** Room for results; the decoder's functions that can fail write (value..., failed) there. */
  __wbindgen_add_to_stack_pointer(bytes: number): Pointer;
  __wbindgen_malloc(size: number, alignment: number): Pointer;
  /** The decoder owns the bytes from here on. */
  decoder_new(
    result: Pointer,
    bitness: number,
    bytes: Pointer,
    length: number,
    options: number,
  ): void;
  __wbg_decoder_free(decoder: Pointer): void;
  decoder_set_position(result: Pointer, decoder: Pointer, position: number): void;
  decoder_set_ip(decoder: Pointer, ip: bigint): void;
  decoder_decodeOut(decoder: Pointer, instruction: Pointer): void;
  instruction_new(): Pointer;
  instruction_isInvalid(instruction: Pointer): number;
  instruction_length(instruction: Pointer): number;
  instruction_flowControl(instruction: Pointer): number;
  instruction_op0Kind(instruction: Pointer): number;
  instruction_nearBranchTarget(instruction: Pointer): bigint;
  instruction_isIpRelMemoryOperand(instruction: Pointer): number;
  instruction_ipRelMemoryAddress(instruction: Pointer): bigint;
}

const USED_BY_NAME: Readonly<Record<keyof Exports, true>> = {
  memory: true,
  __wbindgen_add_to_stack_pointer: true,
  __wbindgen_malloc: true,
  decoder_new: true,
  __wbg_decoder_free: true,
  decoder_set_position: true,
  decoder_set_ip: true,
  decoder_decodeOut: true,
  instruction_new: true,
  instruction_isInvalid: true,
  instruction_length: true,
  instruction_flowControl: true,
  instruction_op0Kind: true,
  instruction_nearBranchTarget: true,
  instruction_isIpRelMemoryOperand: true,
  instruction_ipRelMemoryAddress: true,
};
/** scripts/decoder.mjs leaves out the others: node makes an object of each export at each start. */
export const USED: readonly string[] = Object.keys(USED_BY_NAME);

/** TypeScript knows the global only together with a browser's. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array<ArrayBuffer>) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: Exports };
};

/** iced's enumerations, in their numbers. */
export const FLOW = {
  next: 0,
  jmp: 1,
  jmpIndirect: 2,
  jcc: 3,
  ret: 4,
  call: 5,
  callIndirect: 6,
} as const;
const NEAR_BRANCH_64 = 3;
/** Lengths matter here and not legality: `lock call` faults when it runs, but it is six bytes. */
const NO_INVALID_CHECK = 1;
const RESULT_SIZE = 16;

/** Decodes one run of code; every decoder of a module writes into the same instruction. */
export interface Decoder {
  free(): void;
  seek(position: number): void;
  /** The address that the next instruction is taken to have. */
  setAddress(address: bigint): void;
  decode(): void;
}

/** The instruction that was decoded last. */
export interface Instruction {
  isInvalid(): boolean;
  length(): number;
  flow(): number;
  /** Of a direct branch, or null. */
  target(): bigint | null;
  /** The address of a RIP-relative operand, or null. */
  slot(): bigint | null;
}

export interface Iced {
  readonly instruction: Instruction;
  decoder(bytes: Uint8Array): Decoder;
  /** As it is now. */
  memory(): Uint8Array;
}

/** @throws RangeError where the engine gets no addresses for the module's memory */
export function instantiate(wasm: Uint8Array<ArrayBuffer>): Iced {
  // What these are for is not reached from here: objects and messages of the package's classes.
  const unused = new Proxy({}, { get: (_, name) => () => unreachableImport(String(name)) });
  const { exports: exported } = new WebAssembly.Instance(new WebAssembly.Module(wasm), {
    __wbindgen_placeholder__: unused,
  });
  const instruction = exported.instruction_new();
  return {
    instruction: {
      isInvalid: () => exported.instruction_isInvalid(instruction) !== 0,
      length: () => exported.instruction_length(instruction),
      flow: () => exported.instruction_flowControl(instruction),
      target: () =>
        exported.instruction_op0Kind(instruction) === NEAR_BRANCH_64
          ? BigInt.asUintN(64, exported.instruction_nearBranchTarget(instruction))
          : null,
      slot: () =>
        exported.instruction_isIpRelMemoryOperand(instruction) !== 0
          ? BigInt.asUintN(64, exported.instruction_ipRelMemoryAddress(instruction))
          : null,
    },
    decoder: (bytes) => newDecoder(exported, instruction, bytes),
    memory: () => new Uint8Array(exported.memory.buffer),
  };
}

function unreachableImport(name: string): never {
  throw new Error(`the decoder called ${name}`);
}

/** Calls with room for a result. @returns its first word */
function withResult(exported: Exports, call: (result: Pointer) => void): number {
  const result = exported.__wbindgen_add_to_stack_pointer(-RESULT_SIZE);
  try {
    call(result);
    return new DataView(exported.memory.buffer).getUint32(result >>> 0, true);
  } finally {
    exported.__wbindgen_add_to_stack_pointer(RESULT_SIZE);
  }
}

function newDecoder(exported: Exports, instruction: Pointer, bytes: Uint8Array): Decoder {
  const copy = exported.__wbindgen_malloc(bytes.length, 1) >>> 0;
  new Uint8Array(exported.memory.buffer).set(bytes, copy);
  const decoder = withResult(exported, (result) =>
    exported.decoder_new(result, 64, copy, bytes.length, NO_INVALID_CHECK),
  );
  return {
    free: () => exported.__wbg_decoder_free(decoder),
    seek: (position) =>
      void withResult(exported, (result) =>
        exported.decoder_set_position(result, decoder, position),
      ),
    setAddress: (address) => exported.decoder_set_ip(decoder, address),
    decode: () => exported.decoder_decodeOut(decoder, instruction),
  };
}
