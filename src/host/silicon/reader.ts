// The thread that executes what the other thread changes: a loop around the instruction.

import { LINE } from '../../base/addr.js';
import { SYS } from '../../base/linux.js';
import { align, bytes, label, mem, mem32, rip32, type Program } from '../../asm/assembler.js';
import type { DataProgram, LandingProgram, LitmusProgram } from '../../plan/litmus.js';
import type { ParsedText } from '../../plan/text.js';
import { BLOCK, contentsOf, lengthOf, NEITHER, NEW, OLD, THROUGH } from './layout.js';

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

/** R9: where the call went. What is executed at the site may change RAX. */
const counted: Program = [['inc', mem({ base: 'rbx', index: 'r9', scale: 8 })]];
const before: Program = [['mov', 'r9d', THROUGH]];

/** The site's line begins one line behind an aligned address. */
export function landingReader(program: LandingProgram): Program {
  if (program.text !== undefined) return textReader(program, program.text);
  const chain = chainOf(program);
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
    bytes(...firstOf(program)),
    ...counted,
    ...untilStopped,
  ];
}

/** The text is a function, which may end by a return of its own. */
function textReader(program: LandingProgram, { entry }: ParsedText): Program {
  const content = firstOf(program);
  const room = LINE + program.offset;
  const [skipped, passed] = program.stall === undefined ? [room, 0] : [LINE, program.offset];
  return [
    ...pinned,
    label('loop'),
    ...chainOf(program),
    ...before,
    ['call', 'text'],
    ...counted,
    ...untilStopped,
    align(2 * LINE, 0x90),
    ...nops(skipped),
    label('text'),
    ...nops(passed),
    ...(entry === 0 ? [] : ([['jmp', 'entry']] as const)),
    label('site'),
    bytes(...content.slice(0, entry)),
    label('entry'),
    bytes(...content.slice(entry)),
    ['ret'],
  ];
}

const firstOf = (program: LandingProgram | DataProgram): readonly number[] =>
  contentsOf(program)[0] ?? [];

/** Which of the two displacements a load finds; the instruction itself is never executed. */
export const dataReader = (program: DataProgram): Program => [
  ...pinned,
  ['jmp', 'loop'],
  align(2 * LINE, 0x90),
  ...nops(LINE + program.offset),
  label('site'),
  bytes(...firstOf(program)),
  label('loop'),
  ['mov', 'ecx', rip32('site', 1)],
  ['xor', 'r9d', 'r9d'],
  ['cmp', 'ecx', OLD],
  ['je', 'looked'],
  ['inc', 'r9d'],
  ['cmp', 'ecx', NEW | 0],
  ['je', 'looked'],
  ['mov', 'r9d', NEITHER],
  label('looked'),
  ...counted,
  ...untilStopped,
];
