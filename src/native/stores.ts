// The stores of a protocol, for every site of a batch, as machine code. In JavaScript a hundred
// thousand sites cost twenty milliseconds, the first time a multiple of that, and which
// instructions the engine makes of a store is its own affair; here a store of the protocol is one
// instruction, chosen by us. A loop calls nothing and cannot fail but by saying at which site it
// stopped.

import { INT3 } from '../asm/table.js';
import { LINE } from '../base/addr.js';
import {
  assemble,
  label,
  mem,
  mem32,
  mem8,
  rip,
  type Code,
  type Program,
} from '../asm/assembler.js';
import { FIELD } from '../plan/way.js';
import { DISPLACEMENT, SHORTEST_SITE } from '../x86/forms.js';
import { leave, OUTER, save, siteOf } from './loop.js';

/**
 * The words of a store: edits [from, to) of a batch's columns, and how far from the site it is
 * written. Where `way` is not 0, only edits that go one of the `ways`.
 */
export const STORE = {
  from: 0,
  to: 8,
  at: 16,
  length: 24,
  old: 32,
  new: 40,
  away: 48,
  way: 56,
  ways: 64,
} as const;

/** Before the first edit of every loop: rax is where that loop goes on. */
const ENTER: Program = [
  label('enter'),
  ...save,
  ['push', mem('rdi', STORE.ways)],
  ['mov', 'r12', mem('rdi', STORE.way)],
  ['mov', 'rcx', mem('rdi', STORE.from)],
  ['mov', 'r9', mem('rdi', STORE.to)],
  ['mov', 'rsi', mem('rdi', STORE.at)],
  ['mov', 'r10', mem('rdi', STORE.length)],
  ['mov', 'rbx', mem('rdi', STORE.old)],
  ['mov', 'rdx', mem('rdi', STORE.new)],
  ['mov', 'r8', mem('rdi', STORE.away)],
  ['jmp', 'rax'],
];

/** Behind the last edit; a loop that stops has the edit's index in rcx. */
const LEAVE: Program = [
  label('all'),
  ['mov', 'rcx', -1],
  label('stopped'),
  ['pop', 'rax'],
  ['mov', 'rax', 'rcx'],
  ...leave,
];

/**
 * For every edit, `body` with rcx its index, rax where its first byte is written, rbx and rdx the
 * old and the new bytes.
 */
const stores = (name: string, body: Program): Program => [
  label(name),
  ['lea', 'rax', rip(`${name}-more`)],
  ['jmp', 'enter'],
  label(`${name}-edit`),
  ['test', 'r12', 'r12'],
  ['je', `${name}-site`],
  ['movzx', 'eax', mem8({ base: 'r12', index: 'rcx' })],
  ['test', mem('rsp'), 'rax'],
  ['je', `${name}-next`],
  label(`${name}-site`),
  siteOf.rcx,
  ['add', 'rax', 'r8'],
  ...body,
  label(`${name}-next`),
  ['inc', 'rcx'],
  label(`${name}-more`),
  ['cmp', 'rcx', 'r9'],
  ['jb', `${name}-edit`],
  ['jmp', 'all'],
];

/**
 * One byte after the other, ascending, as the protocol's step says; the first is already in r11 or
 * skipped.
 */
const ascending = (name: string, from: 0 | 1): Program => [
  ['mov', 'r11', mem({ base: 'rdx', index: 'rcx', scale: 8 })],
  ...(from === 0 ? ([['mov', mem8('rax'), 'r11b']] as const) : []),
  ...Array.from({ length: SHORTEST_SITE - 1 }, (_, b): Program => [
    ['shr', 'r11', 8],
    ['mov', mem8('rax', b + 1), 'r11b'],
  ]).flat(),
  ['movzx', 'ebp', mem8({ base: 'r10', index: 'rcx' })],
  ['sub', 'ebp', SHORTEST_SITE],
  ['je', `${name}-next`],
  label(`${name}-longer`),
  ['shr', 'r11', 8],
  ['mov', mem8('rax', SHORTEST_SITE), 'r11b'],
  ['inc', 'rax'],
  ['dec', 'ebp'],
  ['jne', `${name}-longer`],
];

const STORES: Program = [
  ...stores('trap', [['mov', mem8('rax'), INT3]]),
  ...stores('first', [
    ['movzx', 'r11d', mem8({ base: 'rdx', index: 'rcx', scale: 8 })],
    ['mov', mem8('rax'), 'r11b'],
  ]),
  ...stores('rest', ascending('rest', 1)),
  ...stores('whole', ascending('whole', 0)),
  // The displacement byte by byte, and the byte before it.
  ...stores('displacement', [
    ['movzx', 'ebp', mem8({ base: 'r10', index: 'rcx' })],
    ['lea', 'r11', mem({ base: 'rdx', index: 'rcx', scale: 8 })],
    ['mov', 'r11d', mem32({ base: 'r11', index: 'rbp', disp: -DISPLACEMENT })],
    ['mov', mem8({ base: 'rax', index: 'rbp', disp: -DISPLACEMENT }), 'r11b'],
    ...Array.from({ length: DISPLACEMENT - 1 }, (_, b): Program => [
      ['shr', 'r11d', 8],
      ['mov', mem8({ base: 'rax', index: 'rbp', disp: b + 1 - DISPLACEMENT }), 'r11b'],
    ]).flat(),
  ]),
  ...stores('opcode', [
    ['movzx', 'ebp', mem8({ base: 'r10', index: 'rcx' })],
    ['lea', 'r11', mem({ base: 'rdx', index: 'rcx', scale: 8 })],
    ['movzx', 'r11d', mem8({ base: 'r11', index: 'rbp', disp: -DISPLACEMENT - 1 })],
    ['mov', mem8({ base: 'rax', index: 'rbp', disp: -DISPLACEMENT - 1 }), 'r11b'],
  ]),
  // The byte that changes; there is one.
  ...stores('byte', [
    ['mov', 'r11', mem({ base: 'rbx', index: 'rcx', scale: 8 })],
    ['mov', 'rdi', mem({ base: 'rdx', index: 'rcx', scale: 8 })],
    ['xor', 'r11', 'rdi'],
    ['je', 'byte-next'],
    label('unchanged'),
    ['test', 'r11b', 'r11b'],
    ['jne', 'changed'],
    ['shr', 'r11', 8],
    ['shr', 'rdi', 8],
    ['inc', 'rax'],
    ['jmp', 'unchanged'],
    label('changed'),
    ['mov', mem8('rax'), 'dil'],
  ]),
  // One store: of the displacement where only that changes, else of eight bytes inside the line,
  // which hold up to three of a neighbour and so are exchanged only if they are unchanged.
  ...stores('exchange', [
    ['mov', 'r11', mem({ base: 'rbx', index: 'rcx', scale: 8 })],
    ['mov', 'rdi', mem({ base: 'rdx', index: 'rcx', scale: 8 })],
    ['mov', 'rbp', 'r11'],
    ['xor', 'rbp', 'rdi'],
    ['je', 'exchange-next'],
    ['movabs', 'r13', OUTER],
    ['test', 'rbp', 'r13'],
    ['jne', 'wide'],
    ['shr', 'rdi', 8 * FIELD.from],
    ['mov', mem32('rax', FIELD.from), 'edi'],
    ['jmp', 'exchange-next'],
    label('wide'),
    ['mov', 'r13', 'rax'],
    ['or', 'r13', LINE - 1],
    ['sub', 'r13', 7],
    ['cmp', 'rax', 'r13'],
    ['cmovb', 'r13', 'rax'], // the window: at the site, or the last eight bytes of its line
    ['mov', 'r14', 'rcx'],
    ['mov', 'r15', 'rax'],
    ['sub', 'r15', 'r13'],
    ['shl', 'r15d', 3],
    ['movzx', 'eax', mem8({ base: 'r10', index: 'rcx' })],
    ['shl', 'eax', 3],
    ['mov', 'ecx', 64],
    ['sub', 'ecx', 'eax'],
    ['mov', 'rbp', -1],
    ['shr', 'rbp', 'cl'], // ones for the site's bytes
    ['mov', 'ecx', 'r15d'],
    ['shl', 'rbp', 'cl'],
    ['shl', 'r11', 'cl'],
    ['shl', 'rdi', 'cl'],
    ['not', 'rbp'],
    ['mov', 'rax', mem('r13')],
    ['and', 'rax', 'rbp'],
    ['or', 'rdi', 'rax'],
    ['or', 'rax', 'r11'],
    ['lock', 'cmpxchg', mem('r13'), 'rdi'],
    ['mov', 'rcx', 'r14'],
    ['jne', 'stopped'],
  ]),
  ...ENTER,
  ...LEAVE,
];

/** The loops by name: operations of a script (script.ts). */
export const STORE_LOOPS = [
  'trap',
  'first',
  'rest',
  'whole',
  'displacement',
  'opcode',
  'byte',
  'exchange',
] as const;
export type StoreLoop = (typeof STORE_LOOPS)[number];

export function storeLoops(): Code {
  return assemble(STORES);
}
