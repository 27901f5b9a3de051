// The SIGTRAP handler of a process, as machine code. It takes a trapped thread from the site it met
// to where the site's new instruction would have taken it, by editing the saved registers: what the
// kernel's text_poke handler does to pt_regs. It calls nothing, takes no lock, allocates nothing
// and writes no memory but the saved registers, the return address of an emulated call and two
// counters.
//
// It is installed with SA_SIGINFO and SA_NODEFER: an asynchronous signal whose handler passes an
// armed site may come on top of it. The kernel leaves 128 bytes below the interrupted stack pointer
// alone (the red zone, psABI section 3.2.2), so the return address goes where the real call would
// have put it. The frame is left by the libc's own restorer, for unwinders know it by its bytes.

import {
  assemble,
  label,
  mem,
  mem32,
  mem8,
  word,
  type Code,
  type Program,
} from '../asm/assembler.js';
import { INT3 } from '../asm/table.js';
import { SIGINFO, SIGTRAP, SYS, UCONTEXT } from '../base/linux.js';
import { CONDITION, CONDITION_MASKS } from '../trap/condition.js';
import { DATA, EMULATE, RECORD, SLOT, TABLE } from '../trap/registry.js';
import { SITE_FORMS } from '../x86/forms.js';

// rdi signal, rsi siginfo, rdx ucontext. Every caller-saved register is free: the frame holds them
// all.
export const SIGTRAP_PROGRAM: Program = [
  ['mov', 'eax', mem32('rsi', SIGINFO.code)],
  ['cmp', 'eax', SIGINFO.fromKernel],
  ['movabs', 'r8', word('data')],
  ['jne', 'foreign'],
  ['mov', 'rax', mem('rdx', UCONTEXT.rip)],
  ['dec', 'rax'], // the saved address is behind the int3; rax: the site

  ['mov', 'rcx', mem('r8', DATA.tables)],
  label('table'),
  ['test', 'rcx', 'rcx'],
  ['je', 'miss'],
  ['cmp', 'rax', mem('rcx', TABLE.first)],
  ['jb', 'next'],
  ['cmp', 'rax', mem('rcx', TABLE.end)],
  ['jae', 'next'],
  ['xor', 'r9d', 'r9d'],
  ['mov', 'r10', mem('rcx', TABLE.count)],
  label('search'), // r9 <= index < r10
  ['cmp', 'r9', 'r10'],
  ['jae', 'next'],
  ['lea', 'r11', mem({ base: 'r9', index: 'r10' })],
  ['shr', 'r11', 1],
  ['mov', 'rdi', 'r11'],
  ['shl', 'rdi', 4], // SLOT.size
  ['lea', 'rdi', mem({ base: 'rcx', index: 'rdi', disp: TABLE.slots })],
  ['cmp', 'rax', mem('rdi', SLOT.site)],
  ['je', 'hit'],
  ['jb', 'lower'],
  ['lea', 'r9', mem('r11', 1)],
  ['jmp', 'search'],
  label('lower'),
  ['mov', 'r10', 'r11'],
  ['jmp', 'search'],
  label('next'),
  ['mov', 'rcx', mem('rcx', TABLE.next)],
  ['jmp', 'table'],

  label('hit'),
  ['mov', 'rcx', mem('rdi', SLOT.word)],
  ['mov', 'rdi', 'rcx'],
  ['shl', 'rdi', 16],
  ['shr', 'rdi', 16],
  ['mov', 'r9', mem('rdi', 0)], // the word: read once, so that form and target belong together
  ['and', 'rdi', -RECORD.size],
  ['lock', 'inc', mem('rdi', RECORD.traps)],
  ['mov', 'r10', 'rcx'],
  ['shr', 'r10', 48],
  ['and', 'r10d', 15],
  ['add', 'r10', 'rax'], // end of the site's instruction
  ['mov', 'r11', 'r9'],
  ['shl', 'r11', 16],
  ['shr', 'r11', 16], // the target
  ['shr', 'r9', 48],
  ['cmp', 'r9d', EMULATE.call],
  ['je', 'call'],
  ['cmp', 'r9d', EMULATE.jmp],
  ['je', 'jump'],
  ['cmp', 'r9d', EMULATE.nop],
  ['je', 'skip'],
  ['cmp', 'r9d', EMULATE.ret0],
  ['je', 'ret0'],
  ['cmp', 'r9d', EMULATE.ret],
  ['je', 'ret'],
  ['cmp', 'r9d', EMULATE.jcc],
  ['je', 'jcc'],
  ['cmp', 'r9d', EMULATE.passed],
  ['je', 'skip'],
  ['cmp', 'r9d', EMULATE.taken],
  ['je', 'taken'],
  ['jmp', 'miss'],

  label('call'),
  ['mov', 'rsi', mem('rdx', UCONTEXT.rsp)],
  ['lea', 'rsi', mem('rsi', -8)],
  ['mov', mem('rsi', 0), 'r10'],
  ['mov', mem('rdx', UCONTEXT.rsp), 'rsi'],
  label('jump'),
  ['mov', mem('rdx', UCONTEXT.rip), 'r11'],
  ['ret'],
  // The displacement of a branch never changes: it is the same behind a trap.
  label('taken'),
  ['movsxd', 'r11', mem32('rax', SITE_FORMS.jmp.displacement)],
  ['add', 'r11', 'r10'],
  ['jmp', 'jump'],
  label('ret0'),
  ['xor', 'esi', 'esi'],
  ['mov', mem('rdx', UCONTEXT.rax), 'rsi'],
  label('skip'),
  ['mov', mem('rdx', UCONTEXT.rip), 'r10'],
  ['ret'],
  label('ret'),
  ['mov', 'rsi', mem('rdx', UCONTEXT.rsp)],
  ['mov', 'r11', mem('rsi', 0)],
  ['lea', 'rsi', mem('rsi', 8)],
  ['mov', mem('rdx', UCONTEXT.rsp), 'rsi'],
  ['jmp', 'jump'],

  label('jcc'),
  ['shr', 'rcx', 52],
  ['and', 'ecx', 15],
  ['mov', 'rsi', mem('rdx', UCONTEXT.flags)],
  ...CONDITION,
  ['jne', 'jump'],
  ['jmp', 'skip'],

  // Not a site of ours. If the byte is no int3 any more, another tool (a debugger, a patcher)
  // took it away between the trap and here: the instruction that stands there now has not run yet.
  label('miss'),
  ['movzx', 'ecx', mem8('rax', 0)],
  ['cmp', 'ecx', INT3],
  ['je', 'foreign'],
  ['cmp', 'ecx', 0x03],
  ['jne', 'again'],
  ['movzx', 'ecx', mem8('rax', -1)],
  ['cmp', 'ecx', 0xcd], // int 3 spelled with two bytes also says SI_KERNEL
  ['je', 'foreign'],
  label('again'),
  ['lock', 'inc', mem('r8', DATA.staleTraps)],
  ['mov', mem('rdx', UCONTEXT.rip), 'rax'],
  ['ret'],

  label('foreign'),
  ['lock', 'inc', mem('r8', DATA.foreign)],
  ['mov', 'rax', mem('r8', DATA.previous)],
  ['mov', 'ecx', mem32('rsi', SIGINFO.code)],
  ['cmp', 'rax', 1],
  ['jbe', 'unhandled'],
  ['mov', 'edi', SIGTRAP],
  ['jmp', 'rax'],
  // SIG_IGN (1) ignores a signal that was sent, but not an int3: the kernel kills for that.
  label('unhandled'),
  ['jb', 'default'],
  ['cmp', 'ecx', SIGINFO.fromKernel],
  ['je', 'default'],
  ['ret'],
  // SIG_DFL: as if we had never been here. An int3 runs again, anything else is sent again.
  label('default'),
  ['mov', 'r8d', 'ecx'],
  ['mov', 'r9', 'rdx'],
  ['push', 0],
  ['push', 0],
  ['push', 0],
  ['push', 0],
  ['mov', 'edi', SIGTRAP],
  ['mov', 'rsi', 'rsp'],
  ['xor', 'edx', 'edx'],
  ['mov', 'r10d', 8],
  ['mov', 'eax', SYS.rt_sigaction],
  ['syscall'],
  ['lea', 'rsp', mem('rsp', 32)],
  ['cmp', 'r8d', SIGINFO.fromKernel],
  ['jne', 'resend'],
  ['mov', 'rax', mem('r9', UCONTEXT.rip)],
  ['dec', 'rax'],
  ['mov', mem('r9', UCONTEXT.rip), 'rax'],
  ['ret'],
  label('resend'),
  ['mov', 'eax', SYS.getpid],
  ['syscall'],
  ['mov', 'edi', 'eax'],
  ['mov', 'eax', SYS.gettid],
  ['syscall'],
  ['mov', 'esi', 'eax'],
  ['mov', 'edx', SIGTRAP],
  ['mov', 'eax', SYS.tgkill],
  ['syscall'],
  ['ret'],

  ...CONDITION_MASKS,
];

/**
 * The handler; its one relocated word is `data`, the address of the block that registry.ts
 * describes.
 */
export function sigtrap(): Code {
  return assemble(SIGTRAP_PROGRAM);
}
