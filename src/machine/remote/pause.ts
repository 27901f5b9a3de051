// Everything here is synchronous, as ptrace is: the thread that traces must be the one that asks.

import { cpus } from 'node:os';
import { readProcOrNone } from '../linux/proc.js';

const cell = new Int32Array(new SharedArrayBuffer(4));

/** Sleeps, so that another thread that waits for this CPU has it. */
export const pause = (ms: number): void => void Atomics.wait(cell, 0, 0, ms);

/** In which the kernel's measure of how loaded a CPU was halves (PELT), ms. */
const HALVED_MS = 32;

/**
 * Sleeps where more threads want to run than there are CPUs. A thread that the tool wakes is given
 * the CPU of the tool, unless that was the more loaded one; then it waits on its own CPU for the
 * end of another thread's turn, some milliseconds, each time that it is woken. A tool that has just
 * read a program's symbols is as loaded as a thread that never sleeps.
 */
export function restIfBusy(): void {
  const [, running] = /(\d+)\/\d+/.exec(readProcOrNone('/proc/loadavg')) ?? [];
  if (Number(running) >= cpus().length) pause(HALVED_MS);
}
