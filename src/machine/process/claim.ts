// Which thread makes the runtime, where several come at once and share nothing yet. A claim is a
// page with a lock word that threads find in /proc/self/maps by the name of its mapping. A thread
// that finds none maps one, looks again, and then takes every claim that it sees, in the order of
// their addresses. Of two threads that each mapped their own, the one that looked later sees both,
// so the two always have one lock in common. Claims are never unmapped, because another thread may
// be about to take them: a process has one, and seldom a second.
//
// Two other ways were given up. A page at a fixed address, which the kernel gives to one thread
// alone, is refused where a sanitizer has the address, and stays for ever when a
// worker is terminated with it. A file lock dies with its process and not with its thread.

import { PAGE, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { ERRNO } from '../../base/linux.js';
import { readMaps } from '../linux/maps.js';
import type { Native } from '../linux/native.js';
import { mapMemoryFile } from '../linux/memory.js';

const NAME = 'static-call-claim';
/** Making a runtime takes a millisecond. */
const PATIENCE_MS = 10_000;

/** Runs `body` while no other thread of the process does. @throws Fault `no-memory`, `busy` */
export function claimed<T>(native: Native, body: () => T): T {
  if (claims().length === 0) mapMemoryFile(native, NAME, PAGE);
  const thread = native.call('gettid');
  const held: Int32Array[] = [];
  try {
    for (const at of claims()) {
      const word = new Int32Array(native.view(at, 4));
      take(native, word, thread);
      held.push(word);
    }
    return body();
  } finally {
    for (const word of held) Atomics.store(word, 0, 0);
  }
}

/** In the order of their addresses, as the kernel prints them. */
function claims(): Addr[] {
  return readMaps()
    .filter((m) => m.path.startsWith(`/memfd:${NAME} `) && m.access === 'rw-p')
    .map((m) => m.start);
}

/**
 * A thread that ended with a claim is asked for by its number. That the number is used again
 * meanwhile could only make this wait, and only in the moment before a process has a runtime.
 */
function take(native: Native, word: Int32Array, thread: number): void {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  const began = performance.now();
  for (;;) {
    const owner = Atomics.compareExchange(word, 0, 0, thread);
    // Its own number: an earlier thread had it, because no claim is taken within another.
    if (owner === 0 || owner === thread) return;
    const gone = native.call('tgkill', process.pid, owner, 0) === -ERRNO.noProcess;
    if (gone && Atomics.compareExchange(word, 0, owner, thread) === owner) return;
    if (performance.now() - began > PATIENCE_MS)
      throw new Fault(
        'busy',
        `thread ${owner} has been making the runtime for ${PATIENCE_MS / 1000} s`,
        { hint: 'look at what that thread waits for; a debugger may have stopped it' },
      );
    Atomics.wait(pause, 0, 0, 1);
  }
}
