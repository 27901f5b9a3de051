// Programs about order: two calls in lines of their own and a word, whose numbers only count up.
// Where a call goes says which number its displacement had.

import { LINE } from '../../base/addr.js';
import { unreachable } from '../../base/invariant.js';
import {
  align,
  bytes,
  label,
  mem,
  mem32,
  mem8,
  rip,
  type Program,
  type R64,
} from '../../asm/assembler.js';
import { INT3 } from '../../asm/table.js';
import type { Looked, OrderProgram, Written } from '../../plan/litmus.js';
import { BLOCK, CALL, PADS, PADS_AT, WINDOW } from './layout.js';
import { chainOf, nops, pinned, untilStopped } from './reader.js';
import { synchronise } from './writer.js';

/** A function of one call, in a line of its own. */
const place = (name: string, offset: number): Program => [
  align(LINE, 0x90),
  ...nops(offset),
  label(name),
  bytes(CALL, 0, 0, 0, 0),
  ['ret'],
];

/** Flags in EBP: something was older than what was looked at before it, elsewhere or there. */
const LATE = 1;
const BACKWARDS = 2;

/**
 * r12: how far the writer was at the begin; r14: the number before this one. Of a thread that
 * writes itself r13 is its own number.
 */
export function orderReader(program: OrderProgram): Program {
  const { reads, own, offset } = program;
  const values = reads.flatMap((look, i) => (isValue(look) ? [i] : []));
  const looks = reads.flatMap((look, i): Program => {
    const before = reads[values[values.indexOf(i) - 1] ?? -1];
    const first = before === undefined && own === undefined;
    const flag = look === before ? BACKWARDS : LATE;
    return [...looked(look, i, program), ...(isValue(look) ? compared(i, first ? 0 : flag) : [])];
  });
  return [
    ...pinned,
    ['xor', 'r13d', 'r13d'],
    ['jmp', 'loop'],
    align(LINE, 0x90),
    label('loop'),
    ['mov', 'r12', mem('rbx', BLOCK.said)],
    ['xor', 'ebp', 'ebp'],
    ...(own === undefined ? [] : ownStore(own)),
    ...chainOf(program),
    ...(program.stall === undefined ? [] : ([['and', 'edx', 0]] as const)),
    ...looks,
    ...(reads.includes('trap') ? acknowledged : []),
    ['mov', 'rcx', mem('rbx', BLOCK.said)],
    ['sub', 'rcx', 'r12'],
    ['cmp', 'rcx', WINDOW],
    ['ja', 'taken'],
    ['mov', 'eax', 'ebp'],
    ['inc', mem({ base: 'rbx', index: 'rax', scale: 8 })],
    label('taken'),
    ...untilStopped,
    label('leaf'),
    ['ret'],
    ...place('site', offset),
    ...place('y', offset),
  ];
}

const isValue = (look: Looked): boolean => ['x', 'y', 'word', 'trap'].includes(look);

/** EAX: the number that is found. */
function looked(look: Looked, i: number, { stall }: OrderProgram): Program {
  const next = `next${i}`;
  switch (look) {
    case 'x':
      return [['call', 'site']];
    case 'y':
      return [['call', 'y']];
    case 'word':
      // Where there is a chain, the load waits for its end.
      return stall === undefined
        ? [['mov', 'eax', mem32('rbx', BLOCK.said)]]
        : [['mov', 'eax', mem32({ base: 'rbx', index: 'rdx', scale: 1, disp: BLOCK.said })]];
    case 'trap':
      // The handler says so in R15. The trap is of the round that is not yet said to be over.
      return [
        ['xor', 'r15d', 'r15d'],
        ['call', 'site'],
        ['test', 'r15d', 'r15d'],
        ['je', 'taken'],
        ['mov', 'r13', mem('rbx', BLOCK.said)],
        ['inc', 'r13'],
        ['mov', 'eax', 'r13d'],
      ];
    case 'cpuid':
      return [['mov', 'r13', 'rbx'], ['xor', 'eax', 'eax'], ['cpuid'], ['mov', 'rbx', 'r13']];
    case 'iret':
      return interruptReturn(next);
    case 'serialize':
      return [['serialize']];
    case 'branch':
      return [['call', 'leaf'], ['jmp', next], label(next)];
    default:
      return unreachable(look);
  }
}

/** A frame of this thread's own: SS, RSP, flags, CS, RIP. */
const interruptReturn = (next: string): Program => [
  bytes(0x8c, 0xd1), // mov ecx, ss
  ['push', 'rcx'],
  ['lea', 'rcx', mem('rsp', 8)],
  ['push', 'rcx'],
  ['pushfq'],
  bytes(0x8c, 0xc9), // mov ecx, cs
  ['push', 'rcx'],
  ['lea', 'rcx', rip(next)],
  ['push', 'rcx'],
  ['iretq'],
  label(next),
];

/** Whether EAX is older than the number before it; it is the one before the next. */
const compared = (i: number, flag: number): Program => [
  ...(flag === 0
    ? []
    : ([
        ['mov', 'ecx', 'eax'],
        ['sub', 'ecx', 'r14d'],
        ['and', 'ecx', PADS - 1],
        ['cmp', 'ecx', PADS / 2],
        ['jb', `timely${i}`],
        ['or', 'ebp', flag],
        label(`timely${i}`),
      ] as const)),
  ['mov', 'r14d', 'eax'],
];

/** EAX: the displacement from x or y to the pad of the number in R13. */
const displacement = (at: 'x' | 'y', block: R64): Program => [
  ['mov', 'eax', 'r13d'],
  ['and', 'eax', PADS - 1],
  ['shl', 'eax', 4],
  ['add', 'eax', PADS_AT - 5],
  ['sub', 'eax', mem32(block, at === 'x' ? BLOCK.siteAt : BLOCK.yAt)],
];

const ownStore = (own: NonNullable<OrderProgram['own']>): Program => [
  ...(own === 'alias'
    ? ([['mov', 'rsi', mem('rbx', BLOCK.alias)]] as const)
    : ([['lea', 'rsi', rip('site')]] as const)),
  ['inc', 'r13'],
  ['mov', 'r14d', 'r13d'],
  ...displacement('x', 'rbx'),
  ['mov', mem32('rsi', 1), 'eax'],
];

/** The writer goes on; what it takes back is not met a second time. */
const acknowledged: Program = [
  ['mov', mem('rbx', BLOCK.ack), 'r13'],
  label('waiting'),
  ['pause'],
  ['cmp', mem('rbx', BLOCK.said), 'r13'],
  ['jne', 'waiting'],
  ...interruptReturn('resumed'),
];

/** One round of the writer: rbx is x and rbp is y, where they are written; r12 the block. */
export function orderRound({ writes }: OrderProgram): Program {
  const said: Program = [['mov', mem('r12', BLOCK.said), 'r13']];
  return [
    ['inc', 'r13'],
    ...writes.flatMap((write, i) => written(write, i, said)),
    ...(writes.includes('word') ? [] : said),
  ];
}

function written(write: Written, i: number, said: Program): Program {
  switch (write) {
    case 'x':
      return [...displacement('x', 'r12'), ['mov', mem32('rbx', 1), 'eax']];
    case 'y':
      return [...displacement('y', 'r12'), ['mov', mem32('rbp', 1), 'eax']];
    case 'word':
      return said;
    case 'trap':
      return [
        ['mov', mem8('rbx'), INT3],
        label(`met${i}`),
        ['pause'],
        ['cmp', mem('r12', BLOCK.ack), 'r13'],
        ['jne', `met${i}`],
        ['mov', mem8('rbx'), CALL],
      ];
    case 'sync':
      return synchronise;
    default:
      return unreachable(write);
  }
}
