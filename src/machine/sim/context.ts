// Words that the core, the events that interrupt it and the model around it share: who runs, what
// is noted for the model to judge, how a path ends.

import type { Addr } from '../../base/addr.js';
import type { Cpu } from './cpu.js';
import type { Write } from './space.js';
import type { Fixture } from './fixture.js';
import type { PromiseName } from './promises.js';

export { RSP } from '../../asm/operand.js';

/** Who runs: the task, an interrupt of some kind, the handler of a trap, an asynchronous signal. */
export const CONTEXTS = ['task', 'irq', 'nmi', 'mc', 'db', 'trap', 'signal'] as const;
export type ContextKind = (typeof CONTEXTS)[number];

export interface Context {
  kind: number;
  /** A pass over a site is under way: its number, else -1. */
  site: number;
  /** Targets entered in this pass. */
  entered: number;
  /** Passes begun in this context, the identity of an emulated call. */
  passes: number;
  /** Registers and stack when the pass began. */
  snapshot: number;
  /** Stack pointer and shadow stack pointer of what this context interrupted. */
  rsp: Addr;
  ssp: Addr;
}

/** What happened that the passage of time judges. */
export type Note =
  | { readonly note: 'open' | 'begin' | 'serialise'; readonly level: number }
  | { readonly note: 'enter'; readonly level: number; readonly target: number }
  | { readonly note: 'close'; readonly level: number; readonly ran: 'null' | 'ret0' | 'target' };

export interface Bad {
  readonly property: PromiseName;
  readonly text: string;
}

/** The program went where no program may go: ends the path as a violation, not the run. */
export class Crash extends Error {
  readonly property: PromiseName;
  constructor(property: PromiseName, text: string) {
    super(text);
    this.property = property;
  }
}
/** The simulator does not know what a real CPU would do: ends the run. */
export class Unknown extends Error {}

export const BIT = {
  nmiBlocked: 1,
  shadow: 2,
  repeat: 4,
  stopped: 8,
  done: 16,
  trapped: 32,
  asyncBlocked: 64,
  trapBlocked: 128,
  unserialised: 256,
  held: 512,
  patching: 1024,
} as const;
export type CoreBit = keyof typeof BIT;

/** What an event may do to the core that it interrupts. */
export interface Interrupted {
  readonly fixture: Fixture;
  readonly cpu: Cpu;
  readonly contexts: Context[];
  readonly notes: Note[];
  readonly on: boolean;
  nmiLevel: number;
  rip: Addr;
  rsp: Addr;
  is(bit: CoreBit): boolean;
  put(bit: CoreBit, value: boolean): void;
  read(at: Addr, size: 1 | 2 | 4 | 8): bigint;
  write(at: Addr, size: 1 | 2 | 4 | 8, value: bigint): void;
  push(value: bigint): void;
  drain(): void;
  /** The word at `at` is a return address that a RET may be predicted from. */
  called(at: Addr): void;
  fault(property: PromiseName, text: string): void;
}

export type { Write };
