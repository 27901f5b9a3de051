// Drawing an update, for every site of a key, as machine code: what stands there, what shall, and
// whether the protocol can put it there. It touches nothing but the columns, the text and the block
// that it is handed, and says at which site it stopped. plan/draw.ts is the same in TypeScript.

import { assemble, label, mem, mem32, mem8, type Code, type Program } from '../asm/assembler.js';
import { invariant } from '../base/invariant.js';
import { UNITS } from '../base/addr.js';
import { FIELD } from '../plan/way.js';
import { WAY } from '../plan/ways.js';
import { DISPLACEMENT, LONGEST_SITE, SHORTEST_SITE } from '../x86/forms.js';
import { leave, OUTER, save, siteOf } from './loop.js';

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
  /** Ways that a site may go, as bits of WAY, and those that the sites of the batch go. */
  allowed: 80,
  ways: 88,
  /** Not 0: the new instruction is the one that the file has. */
  restores: 96,
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
 * One instruction of the new target, for the sites of one kind and length: `kept` has ones at the
 * bytes that stay as they are. `off` is what stands there while the site is off, in the bytes of
 * `head`; `prefix` has ones at those of them that are before the opcode. Of a kind that has no form
 * which keeps its rest, `off` is what no site holds.
 */
export const FORM = {
  template: 0,
  from: 8,
  mask: 16,
  shift: 24,
  tail: 25,
  kept: 32,
  off: 40,
  head: 48,
  prefix: 56,
  size: 64,
} as const;

/**
 * rdx: the bytes that change, not none. Sets cl to the bit of the cheapest of the allowed ways, as
 * `wayOf` does (plan/way.ts). r11 and rbp are the old bytes and the new ones, rax is the site, rbx
 * its row of the forms.
 */
const chooseWay: Program = [
  ['mov', 'rcx', 'rdx'],
  label('same'),
  ['test', 'cl', 'cl'],
  ['jne', 'other'],
  ['shr', 'rcx', 8],
  ['jmp', 'same'],
  label('other'),
  ['shr', 'rcx', 8],
  ['jne', 'several'],
  ['mov', 'ecx', WAY.byte],
  ['test', mem('rdi', SURVEY.allowed), 'rcx'],
  ['jne', 'chosen'],
  label('several'),
  ['mov', 'ecx', WAY.store],
  ['test', mem('rdi', SURVEY.allowed), 'rcx'],
  ['je', 'apart'],
  ['movabs', 'rcx', OUTER],
  ['test', 'rdx', 'rcx'],
  ['mov', 'ecx', 'eax'],
  ['jne', 'outer'],
  ['add', 'ecx', FIELD.from],
  ['and', 'ecx', UNITS.qword - 1],
  ['cmp', 'ecx', UNITS.qword - DISPLACEMENT],
  ['jbe', 'inside'],
  ['jmp', 'apart'],
  label('outer'),
  ['and', 'ecx', UNITS.qword - 1],
  ['add', 'cl', mem8('r15')],
  ['cmp', 'ecx', UNITS.qword],
  ['ja', 'apart'],
  label('inside'),
  ['mov', 'ecx', WAY.store],
  ['jmp', 'chosen'],
  label('apart'),
  ['mov', 'rcx', 'r11'],
  ['xor', 'rcx', mem('rbx', FORM.off)],
  ['test', mem('rbx', FORM.head), 'rcx'],
  ['jne', 'trap'],
  ['test', mem('rbx', FORM.prefix), 'rdx'],
  ['jne', 'trap'],
  ['mov', 'ecx', WAY.behind],
  ['test', mem('rdi', SURVEY.allowed), 'rcx'],
  ['jne', 'chosen'],
  label('trap'),
  ['mov', 'ecx', WAY.trap],
  label('chosen'),
];

/**
 * For every site: the text must be what the snapshot says; the new instruction; whether the
 * protocol can put it there, and if not, the file's own, which calls the trampoline. rsi walks the
 * addresses, r8 the old bytes, r15 the lengths; r13 is their number, by which the other columns lie
 * behind these. Sites are read four bytes from each end, which overlap, so that nothing beyond the
 * site is touched. A CPU has units enough for all of it but little room to spare, so what is rare
 * stands behind the loop, and what is found of all sites is kept in registers: r9 the ways, r10 how
 * many get the file's own.
 */
const SURVEY_PROGRAM: Program = [
  label('survey'),
  ...save,
  ['mov', 'rsi', mem('rdi', SURVEY.at)],
  ['mov', 'r13', mem('rdi', SURVEY.count)],
  ['mov', 'r14', mem('rdi', SURVEY.forms)],
  ['lea', 'r12', mem({ base: 'rsi', index: 'r13', scale: 8 })],
  ['lea', 'r8', mem({ base: 'r12', index: 'r13', scale: 8 })],
  ['lea', 'r15', mem({ base: 'r8', index: 'r13', scale: 8 })],
  ['lea', 'r15', mem({ base: 'r15', index: 'r13', scale: 8 })],
  ['xor', 'r9d', 'r9d'],
  ['mov', mem('rdi', SURVEY.unchanged), 'r9'],
  ['xor', 'r10d', 'r10d'],
  ['jmp', 'more'],
  label('site'),
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
  ['jne', 'differs'],
  ['cmp', mem('rdi', SURVEY.restores), 0],
  ['jne', 'restore'],
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
  label('accept'),
  ['mov', 'rdx', 'r11'],
  ['xor', 'rdx', 'rbp'],
  ['je', 'unchanged'],
  ['cmp', mem('rdi', SURVEY.unit), -1],
  ['je', 'write'],
  ['test', mem('rdi', SURVEY.outer), 'rdx'],
  ['jne', 'all'],
  ['lea', 'rcx', mem('rax', FIELD.from)],
  ['and', 'rcx', mem('rdi', SURVEY.unit)],
  ['add', 'rcx', DISPLACEMENT - 1],
  ['cmp', 'rcx', mem('rdi', SURVEY.unit)],
  ['jbe', 'write'],
  ['jmp', 'refused'],
  label('all'),
  ['mov', 'rcx', 'rax'],
  ['and', 'rcx', mem('rdi', SURVEY.unit)],
  ['add', 'cl', mem8('r15')],
  ['dec', 'rcx'],
  ['cmp', 'rcx', mem('rdi', SURVEY.unit)],
  ['ja', 'refused'],
  label('write'),
  ['mov', mem({ base: 'r8', index: 'r13', scale: 8 }), 'rbp'],
  ['xor', 'ecx', 'ecx'],
  ['cmp', mem('rdi', SURVEY.allowed), 0],
  ['je', 'chosen'],
  ...chooseWay,
  ['or', 'r9', 'rcx'],
  ['lea', 'rdx', mem({ base: 'r15', index: 'r13', scale: 2 })],
  ['mov', mem8({ base: 'rdx', index: 'r13' }), 'cl'],
  ['cmp', 'rbp', mem({ base: 'rsi', index: 'r13', scale: 8 })],
  ['jne', 'next'],
  ['inc', 'r10'],
  label('next'),
  ['add', 'rsi', 8],
  ['add', 'r8', 8],
  ['inc', 'r15'],
  label('more'),
  ['cmp', 'rsi', 'r12'],
  ['jb', 'site'],
  ['mov', mem('rdi', SURVEY.ways), 'r9'],
  ['mov', mem('rdi', SURVEY.original), 'r10'],
  ['mov', 'rax', -1],
  ...leave,
  label('unchanged'),
  ['inc', mem('rdi', SURVEY.unchanged)],
  ['mov', mem({ base: 'r8', index: 'r13', scale: 8 }), 'rbp'],
  ['xor', 'ecx', 'ecx'],
  ['jmp', 'chosen'],
  label('restore'),
  ['mov', 'rbp', mem({ base: 'rsi', index: 'r13', scale: 8 })],
  ['jmp', 'accept'],
  label('refused'),
  ['cmp', 'rsi', mem('rdi', SURVEY.trampoline)],
  ['je', 'refuse'],
  ['cmp', mem('rdi', SURVEY.inline), 0],
  ['jne', 'refuse'],
  ['cmp', 'rbp', mem({ base: 'rsi', index: 'r13', scale: 8 })],
  ['mov', 'rbp', mem({ base: 'rsi', index: 'r13', scale: 8 })],
  ['jne', 'accept'],
  label('refuse'),
  ['mov', mem('rdi', SURVEY.refused), 1],
  label('differs'),
  ['mov', 'rax', 'rsi'],
  ['sub', 'rax', mem('rdi', SURVEY.at)],
  ['shr', 'rax', 3],
  ...leave,
];

export function surveys(): Code {
  return assemble(SURVEY_PROGRAM);
}
