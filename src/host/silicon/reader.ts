// The thread that executes what the other thread changes: a loop around the instruction.

import { LINE } from '../../base/addr.js';
import { SYS } from '../../base/linux.js';
import { align, bytes, label, mem, mem32, rip32, type Program } from '../../asm/assembler.js';
import type { DataProgram, LandingProgram, LitmusProgram } from '../../plan/litmus.js';
import { BLOCK, formsOf, lengthOf, NEITHER, NEW, OLD, THROUGH } from './layout.js';

const saved = ['rbx', 'rbp', 'r12', 'r13', 'r14', 'r15'] as const;
export const save: Program = saved.map((r) => ['push', r] as const);
export const leave: Program = [...saved.toReversed().map((r) => ['pop', r] as const), ['ret']];

/** rbx: the block. The thread goes to the CPU whose mask lies there. */
export const pinned: Program = [
  ...save,
  ['mov', 'rbx', 'rdi'],
  ['mov', 'eax', SYS.sched_setaffinity],
  ['xor', 'edi', 'edi'],
  ['mov', 'esi', 8],
  ['lea', 'rdx', mem('rbx', BLOCK.cpu)],
  ['syscall'],
];

export const nops = (length: number): Program => [bytes(...Array<number>(length).fill(0x90))];
/** imul rdx, rdx */
export const chainOf = ({ stall = 0 }: LitmusProgram): Program =>
  Array.from({ length: stall }, () => bytes(0x48, 0x0f, 0xaf, 0xd2));

/** Goes round until it is told to stop. */
export const untilStopped: Program = [
  ['cmp', mem32('rbx', BLOCK.stop), 0],
  ['je', 'loop'],
  ...leave,
];

const counted: Program = [['inc', mem({ base: 'rbx', index: 'rax', scale: 8 })]];

/** The site's line begins one line behind an aligned address. */
export function landingReader(program: LandingProgram): Program {
  const chain = chainOf(program);
  const before: Program = [['mov', 'eax', THROUGH]];
  const room = LINE + program.offset - lengthOf([...chain, ...before]);
  // A fetcher is held up by what lies before the site in its line: there the nops are executed.
  const [skipped, passed] = program.stall === undefined ? [room, 0] : [0, room];
  return [
    ...pinned,
    ['jmp', 'loop'],
    align(2 * LINE, 0x90),
    ...nops(skipped),
    label('loop'),
    ...chain,
    ...nops(passed),
    ...before,
    label('site'),
    bytes(...formsOf(program).old),
    ...counted,
    ...untilStopped,
  ];
}

/** Which of the two displacements a load finds; the instruction itself is never executed. */
export const dataReader = (program: DataProgram): Program => [
  ...pinned,
  ['jmp', 'loop'],
  align(2 * LINE, 0x90),
  ...nops(LINE + program.offset),
  label('site'),
  bytes(...formsOf(program).old),
  label('loop'),
  ['mov', 'ecx', rip32('site', 1)],
  ['xor', 'eax', 'eax'],
  ['cmp', 'ecx', OLD],
  ['je', 'looked'],
  ['inc', 'eax'],
  ['cmp', 'ecx', NEW | 0],
  ['je', 'looked'],
  ['mov', 'eax', NEITHER],
  label('looked'),
  ...counted,
  ...untilStopped,
];
