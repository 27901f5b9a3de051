// What a thread runs that another process has borrowed for an update (machine/remote). The tool stops
// the thread, writes a signal frame of its registers, sends it to `borrow`, and lets it go before it
// runs. The thread performs a few scripts and leaves by sigreturn, as from a handler: it finds its own
// way back, whether or not the tool still lives.
//
//   mailbox {done, perform}, then rows {script, otherwise, result}, then a row without a script
//
// Rows are performed in their order; behind a script that stopped comes the row `otherwise`. So what
// must happen in any case (the descriptor is closed, the lock is given back) is a row that all lead to.

import { assemble, bytes, label, mem, type Code, type Program } from '../asm/assembler.js';
import { SYS, THREAD } from '../base/linux.js';
import { SYSTEM } from './script.js';

export const MAILBOX = { done: 0, perform: 8, rows: 16 } as const;
export const ROW = { script: 0, otherwise: 8, result: 16, size: 24 } as const;

// rdi: the mailbox. rsp: eight bytes into the frame, where a handler's return would have left it.
const program: Program = [
  label('borrow'),
  ['mov', 'r12', 'rsp'],
  ['mov', 'rbp', 'rdi'],
  ['lea', 'rbx', mem('rdi', MAILBOX.rows)],
  label('row'),
  ['mov', 'rdi', mem('rbx', ROW.script)],
  ['test', 'rdi', 'rdi'],
  ['je', 'done'],
  ['call', mem('rbp', MAILBOX.perform)],
  ['mov', mem('rbx', ROW.result), 'rax'],
  ['cmp', 'rax', -1],
  ['je', 'next'],
  ['mov', 'rbx', mem('rbx', ROW.otherwise)],
  ['jmp', 'row'],
  label('next'),
  ['add', 'rbx', ROW.size],
  ['jmp', 'row'],
  label('done'),
  ['mov', 'eax', 1],
  ['mov', mem('rbp', MAILBOX.done), 'rax'],
  ['mov', 'rsp', 'r12'],

  // Also the restorer of a handler that is installed without libc: unwinders know it by these bytes,
  // and a static program of musl's may have none of its own.
  label('restorer'),
  bytes(0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00), // mov rax, SYS.rt_sigreturn, as libc spells it
  ['syscall'],

  // A routine of a script: a system call of one argument that waits in the kernel for long, made by
  // a thread that ends with it. The borrowed thread goes on. That thread has every signal blocked,
  // no stack, and touches no memory: the tool's scratch may be taken away under it. What the flags
  // do not ask for clone() does not read.
  label('aside'),
  ['mov', 'r8', mem('rdi', SYSTEM.number)],
  ['mov', 'r9', mem('rdi', SYSTEM.arguments)],
  ['mov', 'edi', THREAD],
  ['xor', 'esi', 'esi'],
  ['mov', 'eax', SYS.clone],
  ['syscall'],
  ['test', 'rax', 'rax'],
  ['je', 'in the thread'],
  ['shr', 'rax', 63],
  ['dec', 'rax'], // -1, or 0 for an error
  ['ret'],
  label('in the thread'),
  ['mov', 'esp', 'esi'],
  ['mov', 'rax', 'r8'],
  ['mov', 'rdi', 'r9'],
  ['syscall'],
  ['mov', 'eax', SYS.exit],
  ['xor', 'edi', 'edi'],
  ['syscall'],
];

export const BORROW_ENTRIES = ['borrow', 'restorer', 'aside'] as const;

export function borrowed(): Code {
  return assemble(program);
}
