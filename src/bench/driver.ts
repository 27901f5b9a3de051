// The native half (bench/driver.c) as TypeScript has it.

import { join } from 'node:path';
import { Fault } from '../base/fault.js';
import type { Addr } from '../base/addr.js';
import { errorName, type Native } from '../machine/linux/native.js';
import { SOURCES, type Workshop } from './tools.js';

/**
 * How long a thread may take to show that it runs, ns: threads that share a CPU take turns of some
 * milliseconds.
 */
const PATIENCE = 100e6;

export interface Driver {
  pin(cpu: number): void;
  /** On every CPU again. */
  release(): void;
  /** Makes threads, asleep; more than one share the CPUs from 1 on. */
  start(threads: number, cpus: number): void;
  run(at: Addr, sites: number, apart: number): void;
  /** A function of its own that a thread can call without end. */
  elsewhere(): Addr;
  park(): void;
  end(): void;
  /** Whether every thread has just made a pass. */
  moving(): boolean;
  passes(): number;
  /** Longest gap between two passes since the last call, ns. */
  longest(): number;
  loop(loop: Addr, iterations: number): number;
  barrier(times: number): number;
  /** Synchronisations, and two bytes of text written as they stand before each, ns. */
  written(syncs: number): number;
  /** Functions that only return; 0 where they cannot be mapped twice. */
  returns(count: number, apart: number): Addr;
  /** A byte stored at each of so many of these, as it stands, and a synchronisation, ns. */
  stores(count: number): number;
  /** A sleeping thread of another process that ptrace has run code which sets a word, ns. */
  borrow(thread: number, code: Addr, word: Addr): number;
  mprotect(): number;
  swap(): number;
  stop(): number;
  far(): Addr;
  getpid(times: number): number;
  call(at: Addr, times: number): number;
}

function checked(what: string, result: number): number {
  if (result < 0) throw new Fault('not-supported', `${what}: ${errorName(result)}`);
  return result;
}

/** @throws Fault `compile-failed`, `not-loaded` */
export function loadDriver(native: Native, workshop: Workshop): Driver {
  const library = native.library(workshop.shared('driver', join(SOURCES, 'driver.c')));
  const f = (declaration: string): ((...args: number[]) => number) => {
    const call = library<(...args: number[]) => number>(declaration);
    return (...args) => Number(call(...args));
  };
  const [pin, start, run, park, end] = [
    f('int bench_pin(int, int)'),
    f('int bench_start(int, int, int)'),
    f('void bench_run(int64, int64, int64)'),
    f('void bench_park()'),
    f('void bench_end()'),
  ];
  const [moving, longest, ticks] = [
    f('int bench_moving(int64)'),
    f('int64 bench_longest()'),
    f('double bench_ticks()')(),
  ];
  const elsewhere = f('int64 bench_elsewhere()')();
  const far = f('int64 bench_far()');
  return {
    pin: (cpu) => void checked(`running on CPU ${cpu} alone is refused`, pin(0, cpu)),
    release: () => void checked('running on every CPU is refused', pin(0, -1)),
    start: (threads, cpus) => void checked('starting threads failed', start(threads, 1, cpus - 1)),
    run: (at, sites, apart) => void run(at, sites, apart),
    elsewhere: () => elsewhere,
    park: () => void park(),
    end: () => void end(),
    moving: () => moving(PATIENCE) === 1,
    passes: f('int64 bench_passes()'),
    longest: () => (longest() * 1000) / ticks,
    loop: f('double bench_loop(int64, int64)'),
    barrier: f('double bench_barrier(int)'),
    written: f('double bench_written(int)'),
    returns: f('int64 bench_returns(int64, int64)'),
    stores: f('double bench_stores(int64)'),
    borrow: f('double bench_borrow(int, int64, int64)'),
    mprotect: f('double bench_mprotect()'),
    swap: f('double bench_swap()'),
    stop: f('double bench_stop()'),
    far: () => checked('mapping a page failed', far()),
    getpid: f('double bench_getpid(int)'),
    call: f('double bench_call(int64, int)'),
  };
}
