// Which thread of a program is borrowed. One that sleeps for no fixed time notices nothing at all: its
// system call is made again as it was, and no running thread waits. (One in epoll_wait is told EINTR
// where the tool is killed while it is stopped.) One that runs is held for a fraction of a
// millisecond: 290 us at the median, on a loaded machine. A read of a socket is begun again too,
// unless the socket has a time limit, which cannot be seen from outside. The last choice is a call
// with a duration, which ends early, by EINTR.

import { SYS } from '../../base/linux.js';
import { EPOLL, isEndless } from './frame.js';
import type { ThreadLook } from './target.js';

/** Calls that the kernel begins again by itself, whatever they wait for. */
const RESTARTED: ReadonlySet<number> = new Set([
  SYS.pause,
  SYS.wait4,
  SYS.waitid,
  SYS.flock,
  SYS.rt_sigsuspend,
]);
/** The same, unless they are on a socket with a limit of time. */
const ON_FILES: ReadonlySet<number> = new Set([
  SYS.read,
  SYS.write,
  SYS.readv,
  SYS.writev,
  SYS.connect,
  SYS.accept,
  SYS.accept4,
  SYS.sendto,
  SYS.recvfrom,
  SYS.sendmsg,
  SYS.recvmsg,
  SYS.fcntl,
  SYS.select,
  SYS.pselect6,
  SYS.ppoll,
]);
const WITH_DURATION: ReadonlySet<number> = new Set([
  SYS.nanosleep,
  SYS.clock_nanosleep,
  SYS.poll,
  SYS.futex,
]);

const RANK = { endless: 0, epoll: 1, runs: 2, onFiles: 3, withDuration: 4 } as const;
/** One that sleeps for no fixed time. */
export const BEST: number = RANK.endless;
/** The worst of which it is known without another look that they can be stopped. */
export const FOUND_AGAIN: number = RANK.runs;
/** The worst that is not told EINTR. */
export const CLEAN: number = RANK.onFiles;
export const ANY: number = RANK.withDuration;

/** The lower the better; null: never. */
export function rankOf({ state, sleepsIn }: ThreadLook): number | null {
  if (state === 'R') return RANK.runs;
  if (state !== 'S' || sleepsIn === null) return null;
  const { call, args } = sleepsIn;
  if (RESTARTED.has(call) || isEndless(call, args))
    return EPOLL.has(call) ? RANK.epoll : RANK.endless;
  if (ON_FILES.has(call)) return RANK.onFiles;
  return WITH_DURATION.has(call) ? RANK.withDuration : null;
}

/** Threads that may be borrowed, the best first. */
export function candidates(threads: readonly ThreadLook[], worst: number): ThreadLook[] {
  return threads
    .map((thread) => ({ thread, rank: rankOf(thread) ?? Infinity }))
    .filter(({ rank }) => rank <= worst)
    .sort((a, b) => a.rank - b.rank)
    .map(({ thread }) => thread);
}
