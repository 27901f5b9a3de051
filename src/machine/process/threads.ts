// The threads of this process, as /proc/self/task shows them, with what a trap needs to know of
// each. The kernel takes 13 us to open and to print the status of a thread. A thread changes its
// signal mask itself, by a system call or as a handler begins and ends, so the status of one that
// has not been on a CPU since the last look is what it was. Its CPU time tells, for 0.4 us.

import { closeSync, openSync, readdirSync, readSync } from 'node:fs';
import { Fault } from '../../base/fault.js';
import { SIGTRAP } from '../../base/linux.js';
import type { Addr } from '../../base/addr.js';
import type { Native } from '../linux/native.js';
import { procFault, readProcOrNone } from '../linux/proc.js';

const TASKS = '/proc/self/task';

export const bit = (signal: number): bigint => 1n << BigInt(signal - 1);
/**
 * Signals that libc keeps to itself (SIGCANCEL, SIGSETXID) and takes out of every mask that a
 * program sets through it.
 */
const LIBC_ONLY = bit(32) | bit(33);

export interface ThreadState {
  readonly id: number;
  readonly name: string;
  readonly trapBlocked: boolean;
  /**
   * The mask holds libc's own signals too. As a rule libc is just creating, ending or forking the
   * thread, and puts the mask back before anything of the program runs; but a raw system call can
   * set such a mask and keep it.
   */
  readonly allBlocked: boolean;
  readonly shadowStack: boolean;
  /** Waits for something other than a CPU or a page. */
  readonly asleep: boolean;
  /** Time on a CPU, as the kernel prints it; the same for ever where it is built without. */
  readonly ranNs: string;
}

export interface Look {
  readonly count: number;
  /** Process id of a debugger or tracer; 0 where there is none. */
  readonly tracer: number;
  /** Signals that have a handler. */
  readonly caught: bigint;
  /** Those that block SIGTRAP or have a shadow stack. */
  readonly notable: readonly ThreadState[];
}

const [SIGBLK, SHSTK] = [Buffer.from('\nSigBlk:\t'), Buffer.from('shstk')];

/** Every thread, whether it ran meanwhile or not. @throws Fault `no-proc` */
export function lookAtThreads(): Look {
  const buffer = Buffer.alloc(STATUS);
  const notable: ThreadState[] = [];
  let first: string | null = null;
  let count = 0;
  for (const name of threadIds()) {
    const read = readThread(Number(name), buffer);
    if (read === null) continue;
    count++;
    first ??= read.status.toString('latin1');
    if (read.state) notable.push(read.state);
  }
  return { count, notable, ...ofProcess(first ?? '') };
}

/** Longer than any status. */
const STATUS = 8192;

interface Read {
  readonly status: Buffer;
  /** null where a trap does it no harm. */
  readonly state: ThreadState | null;
}

/** null where it has ended. @throws Fault `no-proc` */
function readThread(id: number, buffer: Buffer): Read | null {
  const length = readStatus(`${TASKS}/${id}/status`, buffer);
  if (length === 0) return null;
  const status = buffer.subarray(0, length);
  if (!blocksTrap(status) && !status.includes(SHSTK)) return { status, state: null };
  const state = stateOf(id, status.toString('latin1'));
  return { status, state: state.trapBlocked || state.shadowStack ? state : null };
}

const ofProcess = (status: string): Pick<Look, 'tracer' | 'caught'> => ({
  tracer: Number(field(status, 'TracerPid')),
  caught: BigInt(`0x${field(status, 'SigCgt') || '0'}`),
});

/** A thread as it was at the last look. */
interface Seen {
  readonly state: ThreadState | null;
  /** CPU time by then, ns; 0 where that is not told. */
  readonly ranNs: number;
}

/** struct stat of x86-64: the number of links is its third word. */
const STAT = { size: 144, links: 16 } as const;
const AT_FDCWD = -100;
/** A directory has two links, and one for each directory in it. */
const OWN_LINKS = 2;
/** The clock of a thread's CPU time: CPUCLOCK_SCHED and CPUCLOCK_PERTHREAD_MASK. */
const cpuClock = (id: number): number => (~id << 3) | 6;

/**
 * Looks at the threads again and again. A thread that has not been on a CPU since the last look is
 * not read again; that one has come or gone shows in the number of links of /proc/self/task, and in
 * a clock that is there no more. The thread that looks is always read: what belongs to the whole
 * process is in its status.
 */
export class ThreadWatch {
  readonly #native: Native;
  readonly #own: number;
  readonly #buffer: Buffer = Buffer.alloc(STATUS);
  readonly #time: Uint32Array = new Uint32Array(4);
  readonly #timeAt: Addr;
  readonly #stat: Uint32Array = new Uint32Array(STAT.size / 4);
  readonly #statAt: Addr;
  readonly #path: Uint8Array = new TextEncoder().encode(`${TASKS}\0`);
  readonly #pathAt: Addr;
  #seen: ReadonlyMap<number, Seen> = new Map();

  /** @param own the number of the thread that looks */
  constructor(native: Native, own: number) {
    this.#native = native;
    this.#own = own;
    this.#timeAt = native.addressOf(this.#time);
    this.#statAt = native.addressOf(this.#stat);
    this.#pathAt = native.addressOf(this.#path);
  }

  /** @throws Fault `no-proc` */
  look(): Look {
    const now = new Map<number, Seen>();
    const notable: ThreadState[] = [];
    // A clock that stands still while its thread runs tells nothing.
    const [before, after] = [this.#ranNs(this.#own), this.#ranNs(this.#own)];
    const tells = after > before;
    const running = this.#running();
    // A /proc of another PID namespace numbers the threads otherwise.
    if (!running.has(this.#own)) return lookAtThreads();
    let own = '';
    for (const [id, ranNs] of running) {
      const seen = this.#seen.get(id);
      let state = seen?.state ?? null;
      if (!tells || seen === undefined || ranNs === 0 || seen.ranNs !== ranNs || id === this.#own) {
        const read = readThread(id, this.#buffer);
        if (read === null) continue; // it ended meanwhile
        ({ state } = read);
        if (id === this.#own) own = read.status.toString('latin1');
      }
      now.set(id, { state, ranNs });
      if (state) notable.push(state);
    }
    this.#seen = now;
    return { count: now.size, notable, ...ofProcess(own) };
  }

  /** The threads, with the CPU time of each: taken before its status is read. */
  #running(): ReadonlyMap<number, number> {
    const known = this.#times(this.#seen.keys());
    const links = this.#links();
    if (links === known.size + OWN_LINKS && [...known.values()].every((ns) => ns > 0)) return known;
    return this.#times(threadIds().map(Number));
  }

  #times(ids: Iterable<number>): ReadonlyMap<number, number> {
    const times = new Map<number, number>();
    for (const id of ids) times.set(id, this.#ranNs(id));
    return times;
  }

  /** 0 where the thread has not run yet, is gone, or may not be asked for. */
  #ranNs(id: number): number {
    if (this.#native.call('clock_gettime', cpuClock(id), this.#timeAt) !== 0) return 0;
    const [seconds = 0, high = 0, ns = 0] = this.#time;
    return (seconds + high * 2 ** 32) * 1e9 + ns;
  }

  #links(): number {
    const done = this.#native.call('newfstatat', AT_FDCWD, this.#pathAt, this.#statAt, 0);
    return done === 0 ? (this.#stat[STAT.links / 4] ?? 0) : 0;
  }
}

function threadIds(): string[] {
  try {
    return readdirSync(TASKS);
  } catch (error) {
    throw procFault(TASKS, error);
  }
}

/** @returns its length; 0 where the thread has ended */
function readStatus(path: string, buffer: Buffer): number {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    if (hasEnded(error)) return 0;
    throw procFault(path, error);
  }
  try {
    return readSync(file, buffer, 0, buffer.length, null);
  } catch (error) {
    if (hasEnded(error)) return 0;
    throw procFault(path, error);
  } finally {
    closeSync(file);
  }
}

const hasEnded = (error: unknown): boolean =>
  ['ENOENT', 'ESRCH'].includes(String((error as NodeJS.ErrnoException).code));

/** Sixteen hexadecimal digits; SIGTRAP is the lowest bit of the last but one. */
function blocksTrap(status: Buffer): boolean {
  const at = status.indexOf(SIGBLK);
  // A kernel without the line cannot be trusted to say no.
  if (at < 0) return true;
  const digit = parseInt(String.fromCharCode(status[at + SIGBLK.length + 14] ?? 0), 16);
  return (digit & 1) !== 0;
}

const field = (status: string, name: string): string =>
  new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1] ?? '';

function stateOf(id: number, status: string): ThreadState {
  const mask = field(status, 'SigBlk');
  if (mask === '') throw new Fault('not-supported', `${TASKS}/${id}/status has no line SigBlk`);
  const blocked = BigInt(`0x${mask}`);
  const trapBlocked = (blocked & bit(SIGTRAP)) !== 0n;
  return {
    id,
    name: field(status, 'Name'),
    trapBlocked,
    allBlocked: (blocked & LIBC_ONLY) === LIBC_ONLY,
    shadowStack: /\bshstk\b/.test(field(status, 'x86_Thread_features')),
    asleep: !/^[RD]/.test(field(status, 'State')),
    ranNs: trapBlocked ? (readProcOrNone(`${TASKS}/${id}/schedstat`).split(' ')[0] ?? '') : '',
  };
}

/** PF_IO_WORKER: a thread of the kernel's for io_uring. It runs no code of the program. */
const IO_WORKER = 0x10;

export function isKernelWorker(id: number): boolean {
  const stat = readProcOrNone(`${TASKS}/${id}/stat`);
  // The name is in parentheses and may hold anything; the flags are the seventh field behind it.
  const flags = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[6];
  return (Number(flags ?? 0) & IO_WORKER) !== 0;
}

/** The system call that a thread sleeps in and its first argument; null where that is not told. */
export function sleepsIn(id: number): { readonly call: number; readonly word: number } | null {
  const [call, word] = readProcOrNone(`${TASKS}/${id}/syscall`).split(' ');
  return call === undefined || word === undefined
    ? null
    : { call: Number(call), word: Number(word) };
}
