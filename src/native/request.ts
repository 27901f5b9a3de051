// What `static_call_update()` of the C side calls through a key's `update`, and the other end of
// it. The caller fills one of the runtime's requests, hands it to the threads that serve updates,
// and sleeps until one of them has answered. It is machine code because C calls it on any thread,
// also while every thread that could run JavaScript sits in a native call.
//
// Requests are pushed on a list by compare-and-exchange; a server takes the whole list by one
// exchange, so a popped node that comes back (the ABA problem) cannot arise. They are not on the
// callers' stacks, because a caller must be able to go: a signal handler may have interrupted a
// thread in the middle of malloc or V8, and a server that needs the same mutex would never answer.
//
// A worker can be terminated between any two statements of its JavaScript, but not inside machine
// code. So what must happen as a whole is one entry here: a request is on the list, in the slot of
// the server that took it, or answered. `gone` runs when a thread ends, as the destructor of a
// pthread key. It gives back what that thread still holds: the update lock, its place among the
// servers, the requests that it took. A destructor is exact where asking for the owner by its
// number is not, because numbers of threads are used again.

import { invariant } from '../base/invariant.js';
import { assemble, label, mem, mem32, word, type Code, type Program } from '../asm/assembler.js';
import { ERRNO, FUTEX, SYS } from '../base/linux.js';
import { DATA, REQUEST, REQUESTS, SERVER, STATE } from '../trap/registry.js';

const CLOCK_MONOTONIC = 1;

/** How long a caller waits. An update takes milliseconds, and seconds where every CPU is busy. */
const PATIENCE_S = 10;

/**
 * int update(struct static_call_key *key, void *func): 0 or a negative errno. A signal handler may
 * call it on any thread: one that holds the lock, or that serves, would wait for itself.
 */
const update: Program = [
  label('update'),
  ['movabs', 'r8', word('data')],
  ['cmp', mem32('r8', DATA.servers), 0],
  ['je', 'unserved'],
  ['mov', 'eax', SYS.gettid],
  ['syscall'],
  ['cmp', mem32('r8', DATA.lock), 'eax'],
  ['je', 'itself'],
  ['mov', 'rcx', mem('r8', DATA.serving)],
  label('server'),
  ['test', 'rcx', 'rcx'],
  ['je', 'ask'],
  ['cmp', mem32('rcx', SERVER.thread), 'eax'],
  ['je', 'itself'],
  ['mov', 'rcx', mem('rcx', SERVER.next)],
  ['jmp', 'server'],

  label('ask'),
  ['lea', 'rcx', mem('r8', REQUESTS.first)],
  label('free'),
  ['mov', 'eax', STATE.free],
  ['mov', 'edx', STATE.waiting],
  ['lock', 'cmpxchg', mem32('rcx', REQUEST.state), 'edx'],
  ['je', 'mine'],
  ['add', 'rcx', REQUEST.size],
  ['lea', 'rax', mem('r8', REQUESTS.end)],
  ['cmp', 'rcx', 'rax'],
  ['jb', 'free'],
  // More threads at once than there are requests.
  ['mov', 'eax', SYS.sched_yield],
  ['syscall'],
  ['jmp', 'ask'],

  label('mine'),
  ['push', 'rbx'],
  ['mov', 'rbx', 'rcx'],
  ['mov', mem('rbx', REQUEST.key), 'rdi'],
  ['mov', mem('rbx', REQUEST.func), 'rsi'],
  ['call', 'push'],
  ['call', 'ring'],
  // The last server may have ended since the first look. It answers what it finds on the list after
  // it has left, and this looks after it has pushed: one of the two sees the other.
  ['cmp', mem32('r8', DATA.servers), 0],
  ['jne', 'limit'],
  ['call', 'drain'],

  // The limit is a moment and not a duration, which would begin again at every signal. Where the
  // clock is refused it lies in the far future.
  label('limit'),
  ['push', 0],
  ['push', 0x7fff_ffff],
  ['mov', 'edi', CLOCK_MONOTONIC],
  ['mov', 'rsi', 'rsp'],
  ['mov', 'eax', SYS.clock_gettime],
  ['syscall'],
  ['add', mem('rsp'), PATIENCE_S],
  label('wait'),
  ['cmp', mem32('rbx', REQUEST.state), STATE.waiting],
  ['jne', 'answered'],
  ['lea', 'rdi', mem('rbx', REQUEST.state)],
  ['mov', 'esi', FUTEX.waitUntilPrivate],
  ['mov', 'edx', STATE.waiting],
  ['mov', 'r10', 'rsp'],
  ['or', 'r9', -1], // any wake-up; a mov is three bytes longer, and the page is full
  ['mov', 'eax', SYS.futex],
  ['syscall'],
  ['cmp', 'rax', -ERRNO.timedOut],
  ['jne', 'wait'],
  ['mov', 'eax', STATE.waiting],
  ['mov', 'edx', STATE.abandoned],
  ['lock', 'cmpxchg', mem32('rbx', REQUEST.state), 'edx'],
  ['mov', 'eax', -ERRNO.timedOut],
  ['je', 'done'],

  label('answered'),
  ['mov', 'eax', mem32('rbx', REQUEST.result)],
  ['mov', 'edx', STATE.free],
  ['mov', mem32('rbx', REQUEST.state), 'edx'],
  label('done'),
  ['lea', 'rsp', mem('rsp', 16)],
  ['pop', 'rbx'],
  ['ret'],
  label('itself'),
  ['mov', 'eax', -ERRNO.deadlock],
  ['ret'],
  label('unserved'),
  ['mov', 'eax', -ERRNO.nosys],
  ['ret'],
];

/** Called from within, with the data in r8. */
const shared: Program = [
  /** Puts the request at rcx on the list. */
  label('push'),
  ['mov', 'rax', mem('r8', DATA.requests)],
  ['mov', mem('rcx', REQUEST.next), 'rax'],
  ['lock', 'cmpxchg', mem('r8', DATA.requests), 'rcx'],
  ['jne', 'push'],
  ['ret'],

  /** Wakes one server. */
  label('ring'),
  ['lock', 'inc', mem32('r8', DATA.doorbell)],
  ['lea', 'rdi', mem('r8', DATA.doorbell)],
  ['jmp', 'wake'],

  /** Answers the request at rcx with eax, if its caller still waits. */
  label('reply'),
  ['mov', mem32('rcx', REQUEST.result), 'eax'],
  ['mov', 'eax', STATE.waiting],
  ['mov', 'edx', STATE.answered],
  ['lock', 'cmpxchg', mem32('rcx', REQUEST.state), 'edx'],
  ['jne', 'forget'],
  ['lea', 'rdi', mem('rcx', REQUEST.state)],
  label('wake'),
  ['mov', 'esi', FUTEX.wakePrivate],
  ['mov', 'edx', 1],
  ['mov', 'eax', SYS.futex],
  ['syscall'],
  ['ret'],
  label('forget'),
  ['mov', 'eax', STATE.free],
  ['mov', mem32('rcx', REQUEST.state), 'eax'],
  ['ret'],

  /** Refuses every request on the list: there is no server left. */
  label('drain'),
  ['xor', 'r9d', 'r9d'],
  ['xchg', mem('r8', DATA.requests), 'r9'],
  label('refuse'),
  ['test', 'r9', 'r9'],
  ['je', 'drained'],
  ['mov', 'rcx', 'r9'],
  ['mov', 'r9', mem('r9', REQUEST.next)],
  ['mov', 'eax', -ERRNO.nosys],
  ['call', 'reply'],
  ['jmp', 'refuse'],
  label('drained'),
  ['ret'],
];

/** For the thread that serves, with its SERVER in rdi. */
const server: Program = [
  /** From here on it counts. */
  label('enlist'),
  ['movabs', 'r8', word('data')],
  ['mov', 'eax', SYS.gettid],
  ['syscall'],
  ['mov', mem32('rdi', SERVER.thread), 'eax'],
  ['lock', 'inc', mem32('r8', DATA.servers)],
  ['ret'],

  /** Takes the oldest request and says what it asks for. Returns 0 where there is none. */
  label('next'),
  ['movabs', 'r8', word('data')],
  ['mov', 'rax', mem('rdi', SERVER.taken)],
  ['test', 'rax', 'rax'],
  ['jne', 'oldest'],
  ['xchg', mem('r8', DATA.requests), 'rax'],
  ['xor', 'ecx', 'ecx'],
  label('turn'), // the list has the newest first
  ['test', 'rax', 'rax'],
  ['je', 'turned'],
  ['mov', 'rdx', mem('rax', REQUEST.next)],
  ['mov', mem('rax', REQUEST.next), 'rcx'],
  ['mov', 'rcx', 'rax'],
  ['mov', 'rax', 'rdx'],
  ['jmp', 'turn'],
  label('turned'),
  ['mov', mem('rdi', SERVER.taken), 'rcx'],
  ['mov', 'rax', 'rcx'],
  ['test', 'rax', 'rax'],
  ['je', 'none'],
  label('oldest'),
  ['cmp', mem32('rax', REQUEST.state), STATE.waiting],
  ['jne', 'skip'],
  ['mov', 'rcx', mem('rax', REQUEST.key)],
  ['mov', mem('rdi', SERVER.key), 'rcx'],
  ['mov', 'rcx', mem('rax', REQUEST.func)],
  ['mov', mem('rdi', SERVER.func), 'rcx'],
  label('none'),
  ['ret'],
  label('skip'), // its caller has gone
  ['mov', 'rcx', mem('rax', REQUEST.next)],
  ['mov', mem('rdi', SERVER.taken), 'rcx'],
  ['mov', 'ecx', STATE.free],
  ['mov', mem32('rax', REQUEST.state), 'ecx'],
  ['jmp', 'next'],

  /** Answers it. */
  label('answer'),
  ['mov', 'rcx', mem('rdi', SERVER.taken)],
  ['mov', 'rax', mem('rcx', REQUEST.next)],
  ['mov', mem('rdi', SERVER.taken), 'rax'],
  ['mov', 'eax', mem32('rdi', SERVER.result)],
  ['jmp', 'reply'],

  /** Leaves what it took to the others; the last one refuses everything. */
  label('leave'),
  ['movabs', 'r8', word('data')],
  ['mov', 'r9', 'rdi'],
  label('back'),
  ['mov', 'rcx', mem('r9', SERVER.taken)],
  ['test', 'rcx', 'rcx'],
  ['je', 'empty'],
  ['mov', 'rax', mem('rcx', REQUEST.next)],
  ['mov', mem('r9', SERVER.taken), 'rax'],
  ['call', 'push'],
  ['jmp', 'back'],
  label('empty'),
  ['mov', 'eax', -1],
  ['mov', mem32('r9', SERVER.users), 'eax'],
  ['xor', 'eax', 'eax'],
  ['mov', mem32('r9', SERVER.thread), 'eax'],
  ['mov', mem32('r9', SERVER.owner), 'eax'], // from here the slot may be used again
  ['lock', 'dec', mem32('r8', DATA.servers)],
  ['je', 'drain'],
  ['jmp', 'ring'],
];

/**
 * A thread ends, which has the runtime's pthread key set. It owns a slot, serves in it, or neither.
 */
const gone: Program = [
  label('gone'),
  ['push', 'rbx'],
  ['push', 'rbp'],
  ['movabs', 'r8', word('data')],
  ['mov', 'eax', SYS.gettid],
  ['syscall'],
  ['mov', 'ebp', 'eax'],
  ['cmp', mem32('r8', DATA.lock), 'ebp'],
  ['jne', 'not held'],
  ['mov', 'eax', 1],
  ['mov', mem('r8', DATA.stale), 'rax'],
  ['xor', 'eax', 'eax'],
  ['xchg', mem32('r8', DATA.lock), 'eax'],
  ['lea', 'rdi', mem('r8', DATA.lock)],
  ['call', 'wake'],
  label('not held'),
  ['mov', 'rbx', mem('r8', DATA.serving)],
  label('slot'),
  ['test', 'rbx', 'rbx'],
  ['je', 'slots end'],
  ['cmp', mem32('rbx', SERVER.thread), 'ebp'],
  ['jne', 'not serving'],
  ['mov', 'rdi', 'rbx'],
  ['call', 'leave'],
  label('not serving'),
  ['cmp', mem32('rbx', SERVER.owner), 'ebp'],
  ['jne', 'slot next'],
  // Its server ended before it, or never came up: an environment ends after its workers.
  ['mov', 'eax', -1],
  ['mov', mem32('rbx', SERVER.users), 'eax'],
  ['xor', 'eax', 'eax'],
  ['mov', mem32('rbx', SERVER.owner), 'eax'],
  label('slot next'),
  ['mov', 'rbx', mem('rbx', SERVER.next)],
  ['jmp', 'slot'],
  label('slots end'),
  ['pop', 'rbp'],
  ['pop', 'rbx'],
  ['ret'],
];

export const REQUEST_ENTRIES = ['update', 'enlist', 'next', 'answer', 'leave', 'gone'] as const;

/** Every relocated word is `data`. */
export function requestEntries(): Code {
  invariant(DATA.size <= REQUESTS.first, 'the requests lie behind the data');
  return assemble([...update, ...shared, ...server, ...gone]);
}
