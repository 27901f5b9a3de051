// Words that the core, the events that interrupt it and the model around it share: what runs on a
// CPU, what is noted for the model to judge, how a path ends.

import type { Addr } from '../../base/addr.js';
import type { Bytes, Cpu } from './cpu.js';
import type { Fixture } from './fixture.js';
import type { Bad, Breach } from './promises.js';
import type { Write } from './space.js';

/**
 * What runs: the task, an interrupt of some kind, the handler of a trap, an asynchronous signal.
 */
export const CONTEXTS = ['task', 'irq', 'nmi', 'mc', 'db', 'trap', 'signal'] as const;
export type ContextKind = (typeof CONTEXTS)[number];

/** In place of a site's number while no pass is under way. */
export const NO_SITE = -1;

export interface Context {
  readonly kind: ContextKind;
  /** The number of the site that a pass under way goes over, else NO_SITE. */
  site: number;
  /** Targets entered in this pass. */
  entered: number;
  /** Passes begun in this context, the identity of an emulated call. */
  passes: number;
  /** Registers and stack when the pass began. */
  snapshot: number;
  /** Stack pointer and shadow stack pointer of what this context interrupted. */
  readonly rsp: Addr;
  readonly ssp: Addr;
}

export const newContext = (kind: ContextKind, rsp: Addr, ssp: Addr | null): Context => ({
  kind,
  site: NO_SITE,
  entered: 0,
  passes: 0,
  snapshot: 0,
  rsp,
  ssp: ssp ?? 0,
});

/** What a pass ran, `nothing` where a conditional jump had nothing to run. */
type Ran = 'target' | 'null' | 'ret0' | 'nothing';

/** What happened to a pass, which only the passage of time can judge. */
export type PassNote =
  | { readonly note: 'open' | 'begin' | 'go-on' | 'trap'; readonly level: number }
  | { readonly note: 'enter'; readonly level: number; readonly target: number }
  | { readonly note: 'close'; readonly level: number; readonly ran: Ran };
export type Note = PassNote | { readonly note: 'serialise' };

export interface TextStore {
  readonly at: Addr;
  readonly bytes: readonly number[];
}

/** What a macro-step did beside changing its CPU. */
export interface Journal {
  readonly notes: Note[];
  /** Stores to the shared data. */
  readonly writes: Write[];
  /** Stores to text that is patched, each at one instant. */
  readonly stores: TextStore[];
  readonly bad: Bad[];
}
/** A journal in which nothing is written any more. */
export type Written = { readonly [Name in keyof Journal]: Readonly<Journal[Name]> };
export const newJournal = (): Journal => ({ notes: [], writes: [], stores: [], bad: [] });

/**
 * The program went where no program may go: ends the path as a violation, not the run. Neither this
 * nor the next one is an Error, because to capture a stack trace takes longer than the step.
 */
export class Crash {
  readonly breach: Breach;
  readonly message: string;
  constructor(breach: Breach, text: string) {
    this.breach = breach;
    this.message = text;
  }
}
/** The simulator does not know what a real CPU would do: ends the run. */
export class Unknown {
  readonly message: string;
  constructor(text: string) {
    this.message = text;
  }
}

export const BIT = {
  nmiBlocked: 1,
  shadow: 2,
  stopped: 8,
  done: 16,
  trapped: 32,
  asyncBlocked: 64,
  trapBlocked: 128,
  unserialised: 256,
  held: 512,
  patching: 1024,
  /** A promise was broken that leaves the CPU in a state that no correct program leads to. */
  damaged: 2048,
} as const;
export type CoreBit = keyof typeof BIT;

/** What an event may do to the core that it interrupts. */
export interface Interrupted {
  readonly fixture: Fixture;
  readonly cpu: Cpu;
  readonly contexts: Context[];
  readonly on: boolean;
  nmiLevel: number;
  rip: Addr;
  rsp: Addr;
  is(bit: CoreBit): boolean;
  put(bit: CoreBit, value: boolean): void;
  read(at: Addr, size: Bytes): bigint;
  write(at: Addr, size: Bytes, value: bigint): void;
  push(value: bigint): void;
  drain(): void;
  /** The CPU serialises: all its marks move to the newest version. */
  serialise(): void;
  /** The word at `at` is a return address that a RET may be predicted from. */
  called(at: Addr): void;
  fault(breach: Breach, text: string): void;
}
