// What `static_call_update()` of the C side calls through a key's `update`: it puts a request on
// its own stack, hands it to the thread that serves updates, and sleeps until that one has done it.
// It is machine code because C calls it on any thread, also while every thread that could run
// JavaScript sits in a native call.
//
// Requests are pushed on a list by compare-and-exchange; the server takes the whole list by one
// exchange, so a popped node that comes back (the ABA problem) cannot arise. A request's memory
// belongs to the caller and is gone once `state` is set: the server touches nothing of it after
// that.

import { assemble, label, mem, mem32, word, type Code, type Program } from '../asm/assembler.js';
import { ERRNO, FUTEX, SYS } from '../base/linux.js';
import { DATA, REQUEST } from '../trap/registry.js';

/** int update(struct static_call_key *key, void *func): 0 or a negative errno. */
const program: Program = [
  ['movabs', 'r8', word('data')],
  // Nobody serves (the runtime's thread ended, or this is a child of fork): as if no runtime had
  // opened the object.
  ['mov', 'eax', mem32('r8', DATA.server)],
  ['test', 'eax', 'eax'],
  ['je', 'nobody'],
  ['lea', 'rsp', mem('rsp', -REQUEST.size)],
  ['mov', mem('rsp', REQUEST.key), 'rdi'],
  ['mov', mem('rsp', REQUEST.func), 'rsi'],
  ['xor', 'eax', 'eax'],
  ['mov', mem('rsp', REQUEST.state), 'rax'], // state and result

  label('push'),
  ['mov', 'rax', mem('r8', DATA.requests)],
  ['mov', mem('rsp', REQUEST.next), 'rax'],
  ['mov', 'rcx', 'rsp'],
  ['lock', 'cmpxchg', mem('r8', DATA.requests), 'rcx'],
  ['jne', 'push'],
  ['lock', 'inc', mem32('r8', DATA.doorbell)],
  ['lea', 'rdi', mem('r8', DATA.doorbell)],
  ['mov', 'esi', FUTEX.wakePrivate],
  ['mov', 'edx', 1],
  ['mov', 'eax', SYS.futex],
  ['syscall'],

  label('wait'),
  ['mov', 'eax', mem32('rsp', REQUEST.state)],
  ['test', 'eax', 'eax'],
  ['jne', 'done'],
  ['lea', 'rdi', mem('rsp', REQUEST.state)],
  ['mov', 'esi', FUTEX.waitPrivate],
  ['xor', 'edx', 'edx'],
  ['xor', 'r10d', 'r10d'],
  ['mov', 'eax', SYS.futex],
  ['syscall'],
  ['jmp', 'wait'],

  label('done'),
  ['mov', 'eax', mem32('rsp', REQUEST.result)],
  ['lea', 'rsp', mem('rsp', REQUEST.size)],
  ['ret'],
  label('nobody'),
  ['mov', 'eax', -ERRNO.nosys],
  ['ret'],
];

/** Its one relocated word is `data`. */
export function requestEntry(): Code {
  return assemble(program);
}
