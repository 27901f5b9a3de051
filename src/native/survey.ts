// Drawing an update, for every site of a key, as machine code: what stands there, what shall, and
// whether the protocol can put it there. It touches nothing but the columns, the text and the block
// that it is handed, and says at which site it stopped. plan/draw.ts is the same in TypeScript.

import {
  assemble,
  label,
  mem,
  mem32,
  mem8,
  type Code,
  type Program,
  type R64,
} from '../asm/assembler.js';
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
  /** 1: the new instruction is the one that the file has, and no form has a `mask`. */
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
 * One instruction of the new target, for the sites of one kind and length. It has a displacement,
 * where `mask` has ones, or bytes that stay as they are, where `kept` has; never both. `off` is
 * what stands there while the site is off, in the bytes of `head`; `prefix` has ones at those of
 * them that are before the opcode. Of a kind that has no form which keeps its rest, `off` is what
 * no site holds.
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

/** Words on the stack: of all sites, and of a run of sites that have one form. */
const RUN = {
  /** Where the addresses end. */
  end: 0,
  /** Above 0: a displacement is worked out; below: the new instruction is the file's own. */
  how: 8,
  /** With the condition of a jcc in its second byte. */
  template: 16,
  /** The bytes that changed last where one byte did; -1 before that. */
  byte: 24,
  /** Above 0: a way is chosen for each site; below: what changes must lie inside a unit. */
  asks: 32,
  size: 40,
} as const;

/** Columns of eight bytes: rsi walks the addresses, and r13 and r8 lead from there. */
const COLUMN = {
  original: mem({ base: 'rsi', index: 'r13' }),
  old: mem({ base: 'rsi', index: 'r13', scale: 2 }),
  new: mem({ base: 'rsi', index: 'r8' }),
} as const;

/**
 * rdx: the bytes that change, not none. Sets cl to the bit of the cheapest of the allowed ways, as
 * `wayOf` does (plan/way.ts). r11 and rbp are the old bytes and the new ones, rax is the site, rbx
 * its row of the forms, r14 its length. A hook that goes on or off changes the same byte at every
 * site, so that byte is looked for once.
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
  ['je', 'several'],
  ['mov', mem('rsp', RUN.byte), 'rdx'],
  ['jmp', 'chosen'],
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
  ['add', 'ecx', 'r14d'],
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
  ['jmp', 'chosen'],
];

/** Sets rdx, and is done where the same byte changes as at a site before. */
const knowByte: Program = [
  ['mov', 'rdx', 'r11'],
  ['xor', 'rdx', 'rbp'],
  ['mov', 'ecx', WAY.byte],
  ['cmp', 'rdx', mem('rsp', RUN.byte)],
  ['je', 'chosen'],
];

/** Goes on where a column, at that address, says the same of the next eight sites too. */
const alike = (at: R64): Program => [
  ['mov', 'rbp', mem(at)],
  ['cmp', 'rbp', mem(at, 1)],
  ['jne', 'site'],
];

/**
 * rsi is the first site of a run: sites one after the other that have one form, of which all is
 * looked up once. r12 is the run's end. A run grows by eight sites at a time, because eight bytes
 * that equal those one further on are all the same; where fewer are alike each is a run.
 */
const beginRun: Program = [
  ['mov', 'rbp', mem('rdi', SURVEY.count)],
  ['mov', 'rdx', 'r15'],
  ['sub', 'rdx', 'rbp'], // the conditions
  ['mov', 'rcx', 'rdx'],
  ['sub', 'rcx', 'rbp'], // the kinds
  ['mov', 'rax', 'rcx'],
  ['sub', 'rax', 'rbp'], // the lengths
  ['movzx', 'r14d', mem8('rax')],
  ['movzx', 'ebx', mem8('rcx')],
  ['lea', 'ebx', mem({ base: 'r14', index: 'rbx', scale: LENGTHS, disp: -SHORTEST_SITE })],
  ['shl', 'ebx', 6], // FORM.size
  ['add', 'rbx', mem('rdi', SURVEY.forms)],
  ['movzx', 'ebp', mem8('rdx')],
  ['shl', 'ebp', 8], // other sites than a jcc have no condition
  ['or', 'rbp', mem('rbx', FORM.template)],
  ['mov', mem('rsp', RUN.template), 'rbp'],
  ['mov', 'rbp', mem('rbx', FORM.mask)],
  ['sub', 'rbp', mem('rdi', SURVEY.restores)],
  ['mov', mem('rsp', RUN.how), 'rbp'],
  ['lea', 'r12', mem('rsi', 8)],
  label('grow'), // inside the columns: behind the last one memory may end
  ['lea', 'r11', mem('r12', 64)],
  ['cmp', 'r11', mem('rsp', RUN.end)],
  ['ja', 'site'],
  ...alike('rax'),
  ...alike('rcx'),
  ...alike('rdx'),
  ['mov', 'r12', 'r11'],
  ['add', 'rax', 8],
  ['add', 'rcx', 8],
  ['add', 'rdx', 8],
  ['jmp', 'grow'],
];

/**
 * For every site: the text must be what the snapshot says; the new instruction; whether the
 * protocol can put it there, and if not, the file's own, which calls the trampoline. rsi walks the
 * addresses and r15 the ways. Sites are read four bytes from each end, which overlap, so that
 * nothing beyond the site is touched. A CPU has units enough for all of it but little room to
 * spare, so what is rare stands behind the loop, what is the same for a run is looked up before it,
 * and what is found of all sites is kept in registers: r9 the ways, r10 how many get the file's
 * own.
 */
const SURVEY_PROGRAM: Program = [
  label('survey'),
  ...save,
  ['mov', 'rax', mem('rdi', SURVEY.unit)],
  ['not', 'rax'],
  ['neg', 'rax'],
  ['sbb', 'rax', 'rax'], // -1 where there is a unit
  ['or', 'rax', mem('rdi', SURVEY.allowed)],
  ['push', 'rax'],
  ['push', -1],
  ['sub', 'rsp', RUN.byte - RUN.how],
  ['mov', 'rsi', mem('rdi', SURVEY.at)],
  ['mov', 'rax', mem('rdi', SURVEY.count)],
  ['lea', 'r13', mem({ index: 'rax', scale: 8 })],
  ['lea', 'r8', mem({ base: 'r13', index: 'r13', scale: 2 })],
  ['lea', 'r15', mem({ base: 'rax', index: 'rax', scale: 2 })], // the ways are behind three bytes
  ['add', 'r15', 'rsi'],
  ['add', 'r15', 'r8'],
  ['add', 'r15', 'r13'],
  ['add', 'r13', 'rsi'],
  ['push', 'r13'],
  ['sub', 'r13', 'rsi'],
  ['xor', 'r9d', 'r9d'],
  ['mov', mem('rdi', SURVEY.unchanged), 'r9'],
  ['xor', 'r10d', 'r10d'],
  ['jmp', 'more'],
  label('run'),
  ...beginRun,
  label('site'),
  siteOf.next,
  ['mov', 'r11d', mem32('rax')],
  ['mov', 'ebp', mem32({ base: 'rax', index: 'r14', disp: -4 })],
  ['movzx', 'ecx', mem8('rbx', FORM.tail)],
  ['shl', 'rbp', 'cl'],
  ['or', 'r11', 'rbp'],
  ['cmp', 'r11', COLUMN.old],
  ['jne', 'differs'],
  ['cmp', mem('rsp', RUN.how), 0],
  ['jle', 'near'],
  ['mov', 'rbp', mem('rbx', FORM.from)],
  ['sub', 'rbp', 'rax'],
  ['and', 'rbp', mem('rbx', FORM.mask)],
  ['movzx', 'ecx', mem8('rbx', FORM.shift)],
  ['shl', 'rbp', 'cl'],
  ['or', 'rbp', mem('rsp', RUN.template)],
  label('accept'),
  ['xor', 'ecx', 'ecx'],
  ['cmp', 'r11', 'rbp'],
  ['je', 'unchanged'],
  ['cmp', mem('rsp', RUN.asks), 0],
  ['jne', 'ask'],
  label('chosen'),
  ['mov', COLUMN.new, 'rbp'],
  ['or', 'r9', 'rcx'],
  ['mov', mem8('r15'), 'cl'],
  ['cmp', 'rbp', COLUMN.original],
  ['je', 'original'],
  label('next'),
  ['add', 'rsi', 8],
  ['inc', 'r15'],
  ['cmp', 'rsi', 'r12'],
  ['jb', 'site'],
  label('more'),
  ['cmp', 'rsi', mem('rsp', RUN.end)],
  ['jb', 'run'],
  ['mov', mem('rdi', SURVEY.ways), 'r9'],
  ['mov', mem('rdi', SURVEY.original), 'r10'],
  ['mov', 'rax', -1],
  label('out'),
  ['add', 'rsp', RUN.size],
  ...leave,
  label('near'),
  ['jl', 'restore'],
  ['mov', 'rbp', mem('rbx', FORM.kept)],
  ['and', 'rbp', 'r11'],
  ['or', 'rbp', mem('rsp', RUN.template)],
  ...knowByte,
  ['jmp', 'accept'],
  label('original'),
  ['inc', 'r10'],
  ['jmp', 'next'],
  label('ask'),
  ['jl', 'confined'],
  ...knowByte,
  ...chooseWay,
  label('unchanged'),
  ['inc', mem('rdi', SURVEY.unchanged)],
  ['jmp', 'chosen'],
  label('restore'),
  siteOf.next,
  ['mov', 'rbp', COLUMN.original],
  ['jmp', 'accept'],
  label('all'),
  ['and', 'rax', mem('rdi', SURVEY.unit)],
  ['lea', 'rax', mem({ base: 'rax', index: 'r14', disp: -1 })],
  ['jmp', 'ends'],
  label('confined'),
  ['mov', 'rdx', 'r11'],
  ['xor', 'rdx', 'rbp'],
  ['test', mem('rdi', SURVEY.outer), 'rdx'],
  ['jne', 'all'],
  ['add', 'rax', FIELD.from],
  ['and', 'rax', mem('rdi', SURVEY.unit)],
  ['add', 'rax', DISPLACEMENT - 1],
  label('ends'),
  ['cmp', 'rax', mem('rdi', SURVEY.unit)],
  ['jbe', 'chosen'],
  ['cmp', 'rsi', mem('rdi', SURVEY.trampoline)],
  ['je', 'refuse'],
  ['cmp', mem('rdi', SURVEY.inline), 0],
  ['jne', 'refuse'],
  ['cmp', 'rbp', COLUMN.original],
  ['jne', 'restore'],
  label('refuse'),
  ['mov', mem('rdi', SURVEY.refused), 1],
  label('differs'),
  ['mov', 'rax', 'rsi'],
  ['sub', 'rax', mem('rdi', SURVEY.at)],
  ['shr', 'rax', 3],
  ['jmp', 'out'],
];

export function surveys(): Code {
  return assemble(SURVEY_PROGRAM);
}
