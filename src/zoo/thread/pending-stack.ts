// A small stack of calls that are pending, four at most, and a stub for each depth that pushes the
// return address and the target of the topmost. Contexts nest, and so does the stack.

import { said, system } from '../system.js';
import { LEAVES_OUT, LEFT_OUT, UNKNOWN, trapped } from './trapped.js';

const DEEPEST = 4;
const DEPTHS = Array.from({ length: DEEPEST }, (_, depth) => depth);
/** How many are pending; no data of one call. */
const DEPTH = `[slot${2 * DEEPEST}]`;

const kept = [
  `mov rdx, ${DEPTH}`,
  `cmp rdx, ${DEEPEST}`,
  'jae unclaimed',
  // First: an NMI from here on takes the next one.
  `inc ${DEPTH}`,
  ...DEPTHS.flatMap((depth) => [
    `cmp rdx, ${depth}`,
    `jne past${depth}`,
    `mov [slot${2 * depth}], rdi`,
    `mov [slot${2 * depth + 1}], rsi`,
    `lea rcx, [rip.stub${depth}]`,
    'jmp go',
    `past${depth}:`,
  ]),
  'go:',
];
const stub = (depth: number, rule: string): readonly string[] => [
  rule,
  `stub${depth}:`,
  `push [slot${2 * depth}]`,
  '.caller rsp+8',
  `push [slot${2 * depth + 1}]`,
  '.caller rsp+16',
  `dec ${DEPTH}`,
  'ret',
];
const stubs = (rule: string = UNKNOWN) =>
  trapped(
    'pending-stack',
    'a stack of at most four pending calls, and a stub that pushes the last',
    {
      slots: 2 * DEEPEST,
      call: [...kept, 'mov [saved.rip], rcx'],
      after: DEPTHS.flatMap((depth) => stub(depth, rule)),
    },
  );

export const pendingStack = system({
  name: 'pending-stack',
  title: 'A stack of four pending calls (Nicolai Stange)',
  status: 'proposed',
  environment: 'kernel',
  read: [
    said(
      'https://lore.kernel.org/r/20190427100639.15074-4-nstange@suse.de',
      'Nicolai Stange, 27 April 2019: the address goes to an area of the thread, the stub pushes it',
    ),
  ],
  protocol: stubs(),
  mended: { says: LEAVES_OUT, protocol: stubs(LEFT_OUT) },
  bugs: ['Andy Lutomirski: contexts nest in more ways than task, softirq, irq and NMI'],
  leaves: 'That the stack is the task’s and goes with it: no task is preempted here.',
});
