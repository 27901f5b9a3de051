// What the machine code that walks over a batch's sites has in common.

import { bytes, type Instruction, type Program } from '../asm/assembler.js';
import { FIELD } from '../plan/way.js';
import { DISPLACEMENT } from '../x86/forms.js';

/** Ones at the bytes that a store of the four displacement bytes cannot change. */
export const OUTER: bigint = ~(((1n << BigInt(8 * DISPLACEMENT)) - 1n) << BigInt(8 * FIELD.from));

// A column of addresses holds doubles, and the instruction table has no floating point: these two
// are cvttsd2si.
export const siteOf = {
  rcx: bytes(0xf2, 0x48, 0x0f, 0x2c, 0x04, 0xce) /* rax, [rsi+8*rcx] */,
  next: bytes(0xf2, 0x48, 0x0f, 0x2c, 0x06) /* rax, [rsi] */,
};

const SAVED = ['rbx', 'rbp', 'r12', 'r13', 'r14', 'r15'] as const;
export const save: Program = SAVED.map((r): Instruction => ['push', r]);
export const leave: Program = [...SAVED.toReversed().map((r): Instruction => ['pop', r]), ['ret']];
