// Everything here is synchronous, as ptrace is: the thread that traces must be the one that asks.

const cell = new Int32Array(new SharedArrayBuffer(4));

/** Sleeps, so that another thread that waits for this CPU has it. */
export const pause = (ms: number): void => void Atomics.wait(cell, 0, 0, ms);
