// The threads of this process, as /proc/self/task shows them, with what a trap needs to know of
// each. One look reads a file for every thread; with one buffer for all and two searches in it that
// is some 20 us of CPU time a thread, most of it the kernel's. Parsing every line took 30 to 40.

import { closeSync, openSync, readdirSync, readSync } from 'node:fs';
import { Fault } from '../../base/fault.js';
import { SIGTRAP } from '../../base/linux.js';
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

/** @throws Fault `no-proc` */
export function lookAtThreads(): Look {
  const notable: ThreadState[] = [];
  const buffer = Buffer.alloc(8192);
  let first: string | null = null;
  let count = 0;
  for (const id of threadIds()) {
    const length = readStatus(`${TASKS}/${id}/status`, buffer);
    if (length === 0) continue; // it ended meanwhile
    count++;
    const status = buffer.subarray(0, length);
    first ??= status.toString('latin1');
    if (!blocksTrap(status) && !status.includes(SHSTK)) continue;
    const state = stateOf(Number(id), status.toString('latin1'));
    if (state.trapBlocked || state.shadowStack) notable.push(state);
  }
  const of = (name: string): string => (first === null ? '' : field(first, name));
  return {
    count,
    tracer: Number(of('TracerPid')),
    caught: BigInt(`0x${of('SigCgt') || '0'}`),
    notable,
  };
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
