// The indirect branch that speculation cannot steer: Paul Turner's retpoline (Google, January
// 2018), in the form of the kernel's thunks. The address goes through the stack, and the return
// predictor, which the CALL has just filled, leads speculation into a loop. It is what an indirect
// call costs wherever static calls do not replace it, so the baseline `pointer` is also run through
// it.

import { cfa, label, mem, type Program } from '../asm/assembler.js';

type Through = 'rax' | 'r10' | 'r11';

/**
 * A thunk that jumps to the register, entered by CALL or JMP. Between its two labels every branch
 * is predicted harmlessly.
 */
export function retpoline(register: Through): Program {
  return [
    cfa({ kind: 'call', base: 'rsp', offset: 8 }),
    label('retpoline'),
    ['call', 'retpoline.set'],
    label('retpoline.capture'),
    ['pause'],
    ['lfence'],
    ['jmp', 'retpoline.capture'],
    cfa({ kind: 'call', base: 'rsp', offset: 16 }),
    label('retpoline.set'),
    ['mov', mem('rsp'), register],
    ['ret'],
    label('retpoline.end'),
  ];
}
