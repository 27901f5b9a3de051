// Whether a conditional jump would be taken, from saved flags: what a trap handler must know to
// emulate one.

import { label, mem, quad, rip, type Program } from '../asm/assembler.js';
import { FLAG } from '../asm/flags.js';

/** Which flag decides a condition, by its upper three bits; SF != OF is computed into bit 12. */
const LESS = 1 << 12;
const DECIDED_BY = [
  FLAG.of,
  FLAG.cf,
  FLAG.zf,
  FLAG.cf | FLAG.zf,
  FLAG.sf,
  FLAG.pf,
  LESS,
  LESS | FLAG.zf,
] as const;
const ASKED = FLAG.of | FLAG.cf | FLAG.zf | FLAG.sf | FLAG.pf;

/**
 * ecx: the condition, rsi: the saved flags. Afterwards ZF is clear where the jump is taken. Some
 * flag of the condition's mask is set, inverted by its lowest bit. rax, rdi and r9 are lost.
 */
export const CONDITION: Program = [
  ['mov', 'rdi', 'rsi'],
  ['shr', 'rdi', 4], // OF (bit 11) over SF (bit 7)
  ['xor', 'rdi', 'rsi'],
  ['and', 'edi', FLAG.sf],
  ['shl', 'edi', 5],
  ['and', 'esi', ASKED],
  ['or', 'rsi', 'rdi'],
  ['mov', 'edi', 'ecx'],
  ['shr', 'edi', 1],
  ['lea', 'r9', rip('masks')],
  ['mov', 'rdi', mem({ base: 'r9', index: 'rdi', scale: 8 })],
  ['xor', 'eax', 'eax'],
  ['test', 'rsi', 'rdi'],
  ['setne', 'al'],
  ['xor', 'eax', 'ecx'],
  ['test', 'eax', 1],
];

/** The data that it reads, somewhere in the same program. */
export const CONDITION_MASKS: Program = [label('masks'), ...DECIDED_BY.map((mask) => quad(mask))];
