// What a run does to the process, written down as a list of operations and performed by one call
// into machine code: words of the handler's data, stores into text, system calls, in the order of
// the protocol's steps. Between two synchronisations JavaScript then does nothing at all, and how
// long an update takes is the kernel's affair. The script stops at the first operation that fails
// and says which one; what to make of that is the caller's. On a kernel that throws away the TLB at
// every system call (page table isolation without PCID) each return to JavaScript is dear besides.
//
//   header {next, end, system}: as long as an operation, before the first
//   operation {routine, thirteen words for it}: 112 bytes
//
// An operation names its routine by address, so one that is added is a routine here and a method
// below. A routine finds its words at rdi and returns -1 when it is done.

import { assemble, bytes, label, mem, mem32, type Code, type Program } from '../asm/assembler.js';
import { DATA } from '../trap/registry.js';

/** Offsets in bytes. */
export const HEADER = { next: 0, end: 8, system: 16 } as const;
export const OPERATION = { routine: 0, words: 8, size: 112 } as const;
/**
 * The words of a routine, from OPERATION.words; those of a store are STORE (stores.ts), those of a
 * survey SURVEY (survey.ts).
 */
export const WORD = { at: 0, value: 8 } as const;
/** How many words are stored, and for each its address and its value. */
export const WORDS = { count: 0, first: 8, size: 16, most: 6 } as const;
export const COPY = { from: 0, to: 8, size: 16 } as const;
export const SYSTEM = { number: 0, arguments: 8, expected: 40, result: 48 } as const;

const program: Program = [
  label('perform'),
  ['push', 'rbx'],
  ['push', 'rbp'],
  ['push', 'r12'], // for the routines; and the stack is aligned for what is called
  ['mov', 'rbx', 'rdi'],
  ['mov', 'rbp', mem('rbx', HEADER.next)],
  ['jmp', 'more'],
  label('operation'),
  ['lea', 'rdi', mem('rbp', OPERATION.words)],
  ['mov', 'rsi', mem('rbx', HEADER.system)],
  ['call', mem('rbp', OPERATION.routine)],
  ['cmp', 'rax', -1],
  ['jne', 'stop'],
  ['add', 'rbp', OPERATION.size],
  label('more'),
  ['cmp', 'rbp', mem('rbx', HEADER.end)],
  ['jb', 'operation'],
  ['mov', 'rax', -1],
  label('stop'),
  ['mov', mem('rbx', HEADER.next), 'rbp'],
  ['pop', 'r12'],
  ['pop', 'rbp'],
  ['pop', 'rbx'],
  ['ret'],

  label('words'),
  ['mov', 'rcx', mem('rdi', WORDS.count)],
  label('one of them'),
  ['add', 'rdi', WORDS.size],
  ['mov', 'rax', mem('rdi', WORDS.first - WORDS.size)],
  ['mov', 'rdx', mem('rdi', WORDS.first - WORDS.size + 8)],
  ['mov', mem('rax'), 'rdx'],
  ['dec', 'rcx'],
  ['jne', 'one of them'],
  ['mov', 'rax', -1],
  ['ret'],

  label('expect'),
  ['mov', 'rcx', mem('rdi', WORD.at)],
  ['mov', 'rcx', mem('rcx')],
  ['mov', 'rax', -1],
  ['cmp', 'rcx', mem('rdi', WORD.value)],
  ['je', 'as it should'],
  ['xor', 'eax', 'eax'],
  label('as it should'),
  ['ret'],

  label('copy'),
  ['mov', 'rcx', mem('rdi', COPY.size)],
  ['mov', 'rsi', mem('rdi', COPY.from)],
  ['mov', 'rdi', mem('rdi', COPY.to)],
  bytes(0xf3, 0xa4), // rep movsb: the instruction table has no string instructions
  ['mov', 'rax', -1],
  ['ret'],

  // What makes the call is handed in, by C's convention: it is `enter`, or a test's own that
  // refuses some.
  label('system'),
  ['push', 'rbx'],
  ['mov', 'rbx', 'rdi'],
  ['call', 'made'],
  label('compare'),
  ['cmp', 'rax', mem('rbx', SYSTEM.expected)],
  label('compared'),
  ['mov', 'rax', -1],
  ['je', 'as expected'],
  ['xor', 'eax', 'eax'],
  label('as expected'),
  ['pop', 'rbx'],
  ['ret'],

  // A call on a descriptor that an earlier operation obtained: in place of the first argument stands
  // the address of the word that holds it.
  label('using'),
  ['push', 'rbx'],
  ['mov', 'rbx', 'rdi'],
  ['mov', 'r12', mem('rdi', SYSTEM.arguments)], // `perform` has saved it
  ['mov', 'rcx', mem('r12')],
  ['mov', mem('rdi', SYSTEM.arguments), 'rcx'],
  ['call', 'made'],
  ['mov', mem('rbx', SYSTEM.arguments), 'r12'],
  ['jmp', 'compare'],

  // A call whose result is kept, unless it is an error; `expected` is the address of that word.
  label('obtain'),
  ['push', 'rbx'],
  ['mov', 'rbx', 'rdi'],
  ['call', 'made'],
  ['mov', 'rcx', mem('rbx', SYSTEM.expected)],
  ['mov', mem('rcx'), 'rax'],
  ['sar', 'rax', 63], // 0, or -1 for an error
  ['test', 'rax', 'rax'],
  ['jmp', 'compared'],

  // The update lock, for the thread that runs this. Where another thread has it the script stops,
  // with the owner as result.
  label('take'),
  ['push', 'rbx'],
  ['mov', 'rbx', 'rdi'],
  ['call', 'made'], // gettid
  ['mov', 'ecx', 'eax'],
  ['mov', 'rdx', mem('rbx', SYSTEM.arguments)],
  ['xor', 'eax', 'eax'],
  ['lock', 'cmpxchg', mem32('rdx'), 'ecx'],
  ['mov', mem('rbx', SYSTEM.result), 'rax'],
  ['jmp', 'compared'],

  // Gives it back. Only where a thread waits for it is the call made that wakes one.
  label('give'),
  ['mov', 'rcx', mem('rdi', SYSTEM.arguments)],
  ['xor', 'eax', 'eax'],
  ['xchg', mem32('rcx'), 'eax'],
  ['cmp', mem32('rcx', DATA.waiters - DATA.lock), 0],
  ['je', 'given'],
  ['push', 'rbx'],
  ['mov', 'rbx', 'rdi'],
  ['call', 'made'],
  ['pop', 'rbx'],
  label('given'),
  ['mov', 'rax', -1],
  ['ret'],

  // Makes the call that the words at rbx describe.
  label('made'),
  ['mov', 'rax', 'rsi'],
  ['mov', 'rdi', mem('rbx', SYSTEM.number)],
  ['mov', 'rsi', mem('rbx', SYSTEM.arguments)],
  ['mov', 'rdx', mem('rbx', SYSTEM.arguments + 8)],
  ['mov', 'rcx', mem('rbx', SYSTEM.arguments + 16)],
  ['mov', 'r8', mem('rbx', SYSTEM.arguments + 24)],
  ['sub', 'rsp', 8], // the stack is aligned for what is called
  ['call', 'rax'],
  ['add', 'rsp', 8],
  ['mov', mem('rbx', SYSTEM.result), 'rax'],
  ['ret'],

  /** int64 enter(number, a, b, c, d): the result or the negated error number. */
  label('enter'),
  ['mov', 'rax', 'rdi'],
  ['mov', 'rdi', 'rsi'],
  ['mov', 'rsi', 'rdx'],
  ['mov', 'rdx', 'rcx'],
  ['mov', 'r10', 'r8'],
  ['syscall'],
  ['ret'],
];

export function scriptRoutines(): Code {
  return assemble(program);
}

export const ROUTINES = [
  'perform',
  'words',
  'expect',
  'copy',
  'system',
  'using',
  'obtain',
  'take',
  'give',
  'enter',
] as const;
