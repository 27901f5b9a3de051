// Drawing an update, for every site of a key, as machine code: what stands there, what shall, and
// whether the protocol can put it there. It touches nothing but the columns, the text and the block
// that it is handed, and says at which site it stopped. plan/draw.ts is the same in TypeScript.

import { assemble, label, mem, mem32, mem8, type Code, type Program } from '../asm/assembler.js';
import { invariant } from '../base/invariant.js';
import { FIELD } from '../plan/draw.js';
import { DISPLACEMENT, LONGEST_SITE, SHORTEST_SITE } from '../x86/forms.js';
import { leave, save, siteOf } from './loop.js';

/** The block of a survey: columns as SiteColumns lays them out, and what is found. */
export const SURVEY = {
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
/** Rows of forms for one kind, by length; a power of two, because one LEA finds the row. */
export const LENGTHS: 1 | 2 | 4 = lengths(LONGEST_SITE - SHORTEST_SITE + 1);
function lengths(count: number): 1 | 2 | 4 {
  if (count <= 1) return 1;
  if (count <= 2) return 2;
  invariant(count <= 4, 'a site has five to eight bytes');
  return 4;
}

/**
 * One instruction of the new target, for the sites of one kind and length; `kept` has ones at the
 * bytes that stay as they are.
 */
export const FORM = {
  template: 0,
  from: 8,
  mask: 16,
  shift: 24,
  tail: 25,
  kept: 32,
  size: 64,
} as const;

/**
 * For every site: the text must be what the snapshot says; the new instruction; whether the
 * protocol can put it there, and if not, the file's own, which calls the trampoline. rsi walks the
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
  ['lea', 'ebx', mem({ base: 'rdx', index: 'rbx', scale: LENGTHS, disp: -SHORTEST_SITE })],
  ['shl', 'ebx', 6], // FORM.size
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
  ['lea', 'rcx', mem('rax', FIELD.from)],
  ['and', 'rcx', mem('rdi', SURVEY.unit)],
  ['add', 'rcx', DISPLACEMENT - 1],
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
    ['mov', 'rdx', mem('rbx', FORM.kept)],
    ['and', 'rdx', 'r11'],
    ['or', 'rbp', 'rdx'],
    ['movzx', 'edx', mem8({ base: 'r15', index: 'r13', scale: 2 })],
    ['shl', 'edx', 8], // the condition of a jcc is in its second byte; others have none
    ['or', 'rbp', 'rdx'],
  ]),
  ...survey('restore', [['mov', 'rbp', mem({ base: 'rsi', index: 'r13', scale: 8 })]]),
];

export function surveys(): Code {
  return assemble(SURVEYS);
}
