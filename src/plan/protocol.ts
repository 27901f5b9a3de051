// A protocol is data: which sites it accepts, which trap handler must be installed while it runs,
// and a flat list of steps. Each step is done for the whole batch before the next one begins,
// unless `order` says otherwise. It is no code, so it can be printed, compared, stored in a trace,
// performed on a process and enumerated by the checker without change; a new kind of step is a row
// here and a case in each machine.

import type { Unit } from '../base/addr.js';
import { WAY, waysOf, type Way } from './ways.js';

/**
 * The site's bytes that a store touches. `changed` is the smallest run that differs between old and
 * new; `byte` the one byte that differs, at sites that go the way of that name; `displacement` the
 * last four bytes, which the forms of an empty site keep, and `opcode` the byte before them.
 */
export type Part = 'first' | 'rest' | 'whole' | 'changed' | 'byte' | 'opcode' | 'displacement';

/**
 * One thing that is done for the whole batch, with its reason.
 *
 * `ways`: it is a step of these ways alone (`Protocol.ways`). A store is done at the sites that go
 * one of them, anything else where the batch has such a site.
 *
 * `into`: it is done only in updates that lead to one of these states (`SiteText.states`).
 */
export type Step = {
  readonly why: string;
  readonly ways?: readonly Way[];
  readonly into?: readonly string[];
} & (
  | {
      /**
       * Key words and `func` now name the new target: from here a trap emulates the new
       * instruction.
       */
      readonly do: 'publish';
    }
  | {
      readonly do: 'store';
      readonly part: Part;
      readonly bytes: 'trap' | 'old' | 'new';
      /**
       * `one`: a single store instruction, inside one cache line. `exchange`: the same, as
       * compare-and-exchange of the whole aligned or in-line eight bytes, so that a foreign change
       * to a neighbouring byte is noticed. `bytes`: one byte after the other, ascending.
       */
      readonly as: 'one' | 'exchange' | 'bytes';
    }
  | {
      /**
       * Stores `bytes` bytes of the site from offset `at` on. `one`: one store instruction.
       * `exchange`: one LOCKed instruction. `merge`: the aligned eight bytes around them are
       * loaded, changed and stored back, neighbours and all. `bytes`: one byte after the other,
       * ascending.
       */
      readonly do: 'write';
      readonly at: number;
      readonly bytes: number;
      readonly from: 'trap' | 'old' | 'new';
      readonly as: 'one' | 'exchange' | 'merge' | 'bytes';
    }
  | {
      /**
       * Returns when every CPU that runs the program has executed a serialising instruction since
       * it began. `how` it reaches them, if not by an IPI in a kernel and by membarrier in a
       * process: `signal` is one to each thread, whose trap handler holds it back; `progress` waits
       * for each thread to come to a point outside the text that is patched. `acknowledge` is an
       * IPI that a CPU also answers in the handler of a trap: the handler ends in an IRET.
       */
      readonly do: 'sync';
      readonly how?: SyncKind;
    }
  | {
      /**
       * Every thread that was in the text when it began has left it, as after
       * synchronize_rcu_tasks. It serialises nothing.
       */
      readonly do: 'grace';
    }
  | {
      /**
       * Stores the fresh code of the new state (`TextState.fresh`). `one`: one store. `bytes`: one
       * byte after the other, ascending.
       */
      readonly do: 'emit';
      readonly as: 'one' | 'bytes';
    }
  | {
      /** Takes back what `publish` made known: a trap at the site is no longer claimed. */
      readonly do: 'retire';
    }
  | {
      /**
       * Stores an instruction of the protocol's own over the beginning of every site, as one store.
       */
      readonly do: 'store-head';
      readonly bytes: readonly number[];
    }
  | {
      /**
       * `store-tail`: the new bytes behind the head, one after the other. `restore-head`: the new
       * bytes in place of the head, as one store.
       */
      readonly do: 'store-tail' | 'restore-head';
    }
  | {
      /** Adds to a named word of the handler's shared data, as one LOCKed instruction. */
      readonly do: 'count';
      readonly word: string;
      readonly by: 1 | -1;
    }
  | {
      /** Every other CPU or thread is held outside the text that is written. */
      readonly do: 'stop';
    }
  | { readonly do: 'release'; readonly serialise: boolean }
  | {
      /** Goes on when the word has that value. */
      readonly do: 'await';
      readonly word: string;
      readonly is: number;
    }
  | {
      /**
       * Compare-and-exchange: where the word is not `from` nothing changes, and the next step
       * comes all the same.
       */
      readonly do: 'exchange';
      readonly word: string;
      readonly from: number;
      readonly to: number;
    }
  | {
      /**
       * Back to an earlier step unless the word has that value, at most `times` times (below 16) in
       * an update. Past that the update is given up where it stands and never returns; what runs
       * meanwhile is judged all the same.
       */
      readonly do: 'retry';
      /** Index of the step. */
      readonly to: number;
      readonly word: string;
      readonly is: number;
      readonly times: number;
    }
);

/**
 * Which sites a protocol patches in place; the others keep calling their trampoline, which is
 * patched.
 */
export interface Acceptance {
  /** `changed`: the bytes that differ between old and new instruction; `whole`: all of them. */
  readonly bytes: 'changed' | 'whole';
  /** The unit those bytes must not leave; null accepts every site. */
  readonly within: Unit | null;
}

/** Where a protocol's sites lie, and through which address they are written. */
export interface Place {
  /**
   * `same-address`: the patcher stores to the address at which the text is executed, as a JIT with
   * writable code does. `alias`, the default: through another mapping.
   */
  readonly from?: 'same-address' | 'alias';
  /**
   * `own`: that mapping is in an address space of its own, as the kernel's is since v5.2
   * (b3fd8e83ada0). Going there and back by MOV CR3 serialises the patcher's CPU.
   */
  readonly space?: 'own' | 'shared';
  /** Offsets in a cache line, of those that `accepts` takes; all of these if left out. */
  readonly offset?: readonly number[] | { readonly align: number; readonly at: number };
}

export const SYNC_KINDS = ['ipi', 'membarrier', 'signal', 'progress', 'acknowledge'] as const;
export type SyncKind = (typeof SYNC_KINDS)[number];

/** What the text holds after an update. */
export interface TextState {
  readonly name: string;
  /** What a pass through it runs. */
  readonly runs: 'A' | 'B' | 'C' | 'null' | 'ret0';
  /**
   * Bytes in hexadecimal, as many in each state. `{A}` is the four-byte distance to a target,
   * `{fresh}` to the fresh code, `{end}` to the end of the text, and `..` the byte that was there
   * before.
   */
  readonly bytes: string;
  /**
   * Code at a place of its own, where a thread comes only through the text: what `emit` stores. The
   * first state says what the place held before; a state that leaves it out keeps what is there.
   */
  readonly fresh?: string;
  /** A trap met in this state ends as a `ret`, or goes on at that offset; else it runs `runs`. */
  readonly trap?: 'ret' | number;
}

/** What is patched and what may be executed there. */
export interface SiteText {
  /**
   * Instructions that may be executed at a site beside the old one, the new one and the trap; `..`
   * is any byte. `0f 1f 44 00 ..` is a nop whatever its last byte.
   */
  readonly also?: readonly string[];
  /**
   * In place of the site of `check --site`: text of one or several instructions, by the states that
   * updates give it in turn. A thread may stand wherever an instruction of some state begins.
   */
  readonly states?: readonly [TextState, TextState, ...TextState[]];
  /**
   * A pass ends `behind` the text, if left out, or where the text is jumped out of, by a `return`.
   */
  readonly ends?: 'behind' | 'return';
  /** Offset at which calls enter. */
  readonly entry?: number;
  /** Registers that its own instructions change. */
  readonly changes?: readonly string[];
  /** Its function keeps data in the red zone, the 128 bytes below the stack pointer. */
  readonly leaf?: boolean;
}

/** A trap handler of a kernel that a protocol brings itself, as rows of text (handler.ts). */
export interface OwnHandler {
  /**
   * Emulates a CALL. RDI: the end of the site, RSI: the target, RSP: the saved registers; all
   * others are free. It goes on into the way out.
   */
  readonly call: readonly string[];
  /** The same of a JMP; if left out, the target becomes the saved RIP. */
  readonly jump?: readonly string[];
  /** Code that it sends the interrupted context to, which is no entry code any more. */
  readonly after?: readonly string[];
  /** How many of the CPU's own words, from `[slot0]` on, keep data for one emulated call each. */
  readonly slots?: number;
}

export const PROMISES = ['returned', 'stored', 'eventually'] as const;
export const ORDERS = ['steps', 'each'] as const;

/** A way of writing a batch of sites; docs/protocols.md works an example. */
export interface Protocol {
  readonly name: string;
  /** One line: what it does. */
  readonly about: string;
  readonly accepts: Acceptance;
  readonly place?: Place;
  readonly text?: SiteText;
  /** How many sites there are, 1 if left out. A thread passes the second behind the first. */
  readonly sites?: 1 | 2;
  /** With two, each site has a key of its own, and updates change one key after the other. */
  readonly keys?: 1 | 2;
  /**
   * `steps`, if left out: each step is done for all sites of the key before the next one begins.
   * `each`: all steps for one site, then all of them for the other.
   */
  readonly order?: (typeof ORDERS)[number];
  /**
   * What an update promises when it returns. `returned`, if left out: no call that begins
   * afterwards runs what was replaced. `stored`: none does but for bytes that its CPU fetched and
   * that memory does not hold any more. `eventually`: a call runs some version, whole, for as long
   * as it may be.
   */
  readonly promise?: (typeof PROMISES)[number];
  /**
   * Ways that a site may be written by. Each site goes the cheapest that its change and the text's
   * writer allow (way.ts). Absent: every step is for every site.
   */
  readonly ways?: readonly Way[];
  /**
   * Name of the handler that must be installed while it runs, or a kernel's of its own; null if it
   * plants no trap.
   */
  readonly handler: string | OwnHandler | null;
  readonly steps: readonly Step[];
}

/** Whether some site that goes one of these ways takes part in the step. */
export const isFor = ({ ways }: Step, present: number): boolean =>
  ways === undefined || (waysOf(ways) & present) !== 0;

/**
 * The protocol for a batch whose sites go these ways: steps that none of them needs are left out,
 * and the handler with the last trap.
 * @param present bits of WAY
 */
export function narrowed(protocol: Protocol, present: number): Protocol {
  if (protocol.ways === undefined) return protocol;
  const traps = (present & WAY.trap) !== 0;
  return {
    ...protocol,
    handler: traps ? protocol.handler : null,
    steps: protocol.steps.filter((step) => isFor(step, present)),
  };
}
