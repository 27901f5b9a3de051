// The SIGTRAP handler that ships, with the user shadow stack kept in step: the same program with
// what an emulated CALL and an emulated RET must do to it spliced in behind their labels. It is a
// variant for the checker: it has never run on hardware with user shadow stacks, so a process that
// has them enabled is refused instead.

import type { Program } from '../asm/assembler.js';
import { USER_SHADOW } from './shadow.js';
import { SIGTRAP_PROGRAM } from '../native/sigtrap.js';

const SPLICED: Readonly<Record<string, Program>> = {
  call: USER_SHADOW.call({ context: 'rdx', end: 'r10', target: 'r11' }),
  ret: USER_SHADOW.ret(),
};

export const SIGTRAP_SHADOW_PROGRAM: Program = SIGTRAP_PROGRAM.flatMap((item) => [
  item,
  ...('item' in item && item.item === 'label' ? (SPLICED[item.name] ?? []) : []),
]);
