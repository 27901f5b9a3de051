// Code that lies near an object's sites: the function that returns 0, the one that just returns,
// and the jump to a target that a 32-bit displacement does not reach.

import { assemble, label, quad, rip, word, type Code } from '../asm/assembler.js';

/** Each of them takes so many bytes. */
export const VENEER_SIZE = 16;
export const RETURN0: Code = assemble([['xor', 'eax', 'eax'], ['ret']]);
export const RETURN: Code = assemble([['ret']]);
/** Its one relocated word is `target`. */
export const VENEER: Code = assemble([
  ['jmp', rip('target')],
  label('target'),
  quad(word('target')),
]);
