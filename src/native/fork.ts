// What happens at fork(), as the three handlers that libc calls around it. A fork waits until no
// update runs, so a child never starts with text that is half old and half new. Text that is mapped
// a second time is shared memory: the child would go where the parent's later updates point. So its
// bytes are copied before the fork, while nothing changes, and the child puts the copy in the
// shared pages' place before anything else of it runs.
//
// libc runs them for fork() alone. vfork and posix_spawn run nothing of the program before exec and
// need none; a raw clone() without exec is not covered. Where a copy cannot be had the child keeps
// the shared text: fork has no way to refuse, and nearly every child execs at once.
//
// The lock of a thread that ended in an update is given back as the thread ends (request.ts), so
// the wait needs no limit. The texts may then be half written. The child's threads are emulated
// over that like the parent's, and the next update reads the texts back.

import { assemble, label, mem, mem32, word, type Code, type Program } from '../asm/assembler.js';
import { FUTEX, MAP, MREMAP, PROT, SYS } from '../base/linux.js';
import { DATA, REGION } from '../trap/registry.js';

// rbx: the data; rbp: the region at hand; r12: its size; r13: the copy, or the thread.
const saved = ['rbx', 'rbp', 'r12', 'r13'] as const;
const enter: Program = [...saved.map((r) => ['push', r] as const), ['movabs', 'rbx', word('data')]];
const leave: Program = [...[...saved].reverse().map((r) => ['pop', r] as const), ['ret']];

const eachRegion = (name: string, body: Program): Program => [
  ['mov', 'rbp', mem('rbx', DATA.regions)],
  label(name),
  ['test', 'rbp', 'rbp'],
  ['je', `${name} end`],
  ['mov', 'r12', mem('rbp', REGION.end)],
  ['sub', 'r12', mem('rbp', REGION.start)],
  ...body,
  label(`${name} next`),
  ['mov', 'rbp', mem('rbp', REGION.next)],
  ['jmp', name],
  label(`${name} end`),
];

const prepare: Program = [
  label('prepare'),
  ...enter,
  ['mov', 'eax', SYS.gettid],
  ['syscall'],
  ['mov', 'r13d', 'eax'],
  label('lock'),
  ['xor', 'eax', 'eax'],
  ['lock', 'cmpxchg', mem32('rbx', DATA.lock), 'r13d'],
  ['je', 'locked'],
  // A fork from within an update has the lock already and leaves it as it is.
  ['cmp', 'eax', 'r13d'],
  ['je', 'copy'],
  ['lock', 'inc', mem32('rbx', DATA.waiters)],
  ['lea', 'rdi', mem('rbx', DATA.lock)],
  ['mov', 'esi', FUTEX.waitPrivate],
  ['mov', 'edx', 'eax'],
  ['xor', 'r10d', 'r10d'],
  ['mov', 'eax', SYS.futex],
  ['syscall'],
  ['lock', 'dec', mem32('rbx', DATA.waiters)],
  ['jmp', 'lock'],
  label('locked'),
  ['mov', 'eax', 1],
  ['mov', mem('rbx', DATA.forking), 'rax'],
  label('copy'),
  ...eachRegion('copies', [
    // A thread that ended while it registered the handlers may have left them registered twice.
    ['cmp', mem('rbp', REGION.copy), 0],
    ['jne', 'copies next'],
    ['xor', 'edi', 'edi'],
    ['mov', 'rsi', 'r12'],
    ['mov', 'edx', PROT.read | PROT.write],
    ['mov', 'r10d', MAP.private | MAP.anonymous],
    ['mov', 'r8', -1],
    ['xor', 'r9d', 'r9d'],
    ['mov', 'eax', SYS.mmap],
    ['syscall'],
    ['test', 'rax', 'rax'],
    ['js', 'copies next'],
    ['mov', 'r13', 'rax'],
    ['mov', 'rsi', mem('rbp', REGION.start)],
    ['xor', 'ecx', 'ecx'],
    label('bytes'),
    ['mov', 'rax', mem({ base: 'rsi', index: 'rcx' })],
    ['mov', mem({ base: 'r13', index: 'rcx' }), 'rax'],
    ['add', 'rcx', 8],
    ['cmp', 'rcx', 'r12'],
    ['jb', 'bytes'],
    ['mov', 'rdi', 'r13'],
    ['mov', 'rsi', 'r12'],
    ['mov', 'edx', PROT.read | PROT.exec],
    ['mov', 'eax', SYS.mprotect],
    ['syscall'],
    ['mov', mem('rbp', REGION.copy), 'r13'],
  ]),
  ...leave,
];

/**
 * Gives the lock back, if `prepare` took it. By an exchange, because the count of waiters is
 * read behind it: a load may run ahead of a plain store.
 */
const unlock = (name: string): Program => [
  ['mov', 'rax', mem('rbx', DATA.forking)],
  ['test', 'rax', 'rax'],
  ['je', name],
  ['xor', 'eax', 'eax'],
  ['mov', mem('rbx', DATA.forking), 'rax'],
  ['xchg', mem32('rbx', DATA.lock), 'eax'],
];

const parent: Program = [
  label('parent'),
  ...enter,
  ...eachRegion('drops', [
    ['mov', 'rdi', mem('rbp', REGION.copy)],
    ['test', 'rdi', 'rdi'],
    ['je', 'drops next'],
    ['xor', 'eax', 'eax'],
    ['mov', mem('rbp', REGION.copy), 'rax'],
    ['mov', 'rsi', 'r12'],
    ['mov', 'eax', SYS.munmap],
    ['syscall'],
  ]),
  ...unlock('parent out'),
  ['mov', 'eax', mem32('rbx', DATA.waiters)],
  ['test', 'eax', 'eax'],
  ['je', 'parent out'],
  ['lea', 'rdi', mem('rbx', DATA.lock)],
  ['mov', 'esi', FUTEX.wakePrivate],
  ['mov', 'edx', 1],
  ['mov', 'eax', SYS.futex],
  ['syscall'],
  label('parent out'),
  ...leave,
];

/**
 * The child inherits the descriptor through which its parent's memory is written, and would keep
 * that power whatever credentials it takes on. The program may have closed the number and opened
 * something else under it, so it is closed only if it reads the runtime's magic word at the place
 * of that word, as no other file does.
 */
const closeProcmem: Program = [
  ['mov', 'r12', mem('rbx', DATA.procmem)],
  ['test', 'r12', 'r12'],
  ['je', 'no procmem'],
  ['dec', 'r12'],
  ['push', 0],
  ['mov', 'rdi', 'r12'],
  ['mov', 'rsi', 'rsp'],
  ['mov', 'edx', 8],
  ['lea', 'r10', mem('rbx', DATA.magic)],
  ['mov', 'eax', SYS.pread],
  ['syscall'],
  ['pop', 'rax'],
  ['cmp', 'rax', mem('rbx', DATA.magic)],
  ['jne', 'no procmem'],
  ['mov', 'rdi', 'r12'],
  ['mov', 'eax', SYS.close],
  ['syscall'],
  label('no procmem'),
  ['xor', 'eax', 'eax'],
  ['mov', mem('rbx', DATA.procmem), 'rax'],
  ['mov', mem('rbx', DATA.procmemUsers), 'rax'],
];

const child: Program = [
  label('child'),
  ...enter,
  ...closeProcmem,
  ...eachRegion('swaps', [
    ['mov', 'rdi', mem('rbp', REGION.copy)],
    ['test', 'rdi', 'rdi'],
    ['je', 'swaps next'],
    ['mov', 'rsi', 'r12'],
    ['mov', 'rdx', 'r12'],
    ['mov', 'r10d', MREMAP.mayMove | MREMAP.fixed],
    ['mov', 'r8', mem('rbp', REGION.start)],
    ['mov', 'eax', SYS.mremap],
    ['syscall'],
  ]),
  // The text is the child's own now, the servers are the parent's, and the child has no
  // other thread that could wait.
  ['xor', 'eax', 'eax'],
  ['mov', mem('rbx', DATA.regions), 'rax'],
  ['mov', mem('rbx', DATA.requests), 'rax'],
  ['mov', mem('rbx', DATA.serving), 'rax'],
  ['mov', mem32('rbx', DATA.servers), 'eax'],
  ['mov', mem32('rbx', DATA.waiters), 'eax'],
  ...unlock('child out'),
  label('child out'),
  ...leave,
];

/** Entries `prepare`, `parent` and `child`; every relocated word is `data`. */
export function forkHandlers(): Code {
  return assemble([...prepare, ...parent, ...child]);
}
