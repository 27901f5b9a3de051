// What a configuration chooses about the program under test and the world around it.

import type { Program } from '../../asm/assembler.js';
import { isBranch, type SiteKind } from '../../sites/site.js';
import type { SiteLength } from '../../x86/forms.js';
import type { BRANCH_LENGTH } from '../../plan/transform.js';
import type { ParsedText } from '../../plan/text.js';
import type { Rules } from './rules.js';
import {
  ENOUGH,
  SHAPES,
  type Bound,
  type Environment,
  type SiteShape,
  type TargetName,
} from './settings.js';

/** A site of the program under test, and the targets that successive updates give it. */
export interface Shape {
  readonly kind: SiteKind;
  readonly length: SiteLength | typeof BRANCH_LENGTH;
  /** Of a conditional jump, 0 to 15; else 0. */
  readonly condition: number;
  readonly sequence: readonly TargetName[];
}

/**
 * What an endless updater chooses among, where nothing else is asked for; the initial one first.
 */
export function choicesOf(site: SiteShape): readonly TargetName[] {
  const { kind, sequence }: Shape = SHAPES[site];
  const functions = isBranch(kind) ? [] : ENOUGH;
  return [...new Set([...sequence, ...functions])];
}

/** Which events may interrupt a task. */
export interface Events {
  readonly irq: boolean;
  readonly nmi: boolean;
  readonly mc: boolean;
  readonly db: boolean;
  readonly preempt: boolean;
  readonly signal: boolean;
}

export interface FixtureOptions {
  readonly environment: Environment;
  readonly site: SiteShape;
  readonly passes: Bound;
  readonly updates: Bound;
  /** What updates without end choose among, the initial one first. */
  readonly targets: readonly TargetName[];
  readonly events: Events;
  readonly nmiRaw: boolean;
  readonly tso: boolean;
  readonly shadowStacks: boolean;
  /**
   * The table of traps is claimed only while an update runs, by `publish` and `retire`. Otherwise
   * it is claimed from the start and stays so.
   */
  readonly tornDown: boolean;
  /** The trap handler and what it must find; null for a protocol that plants no trap. */
  readonly handler: FixtureHandler | null;
  /**
   * What is patched: the site itself, the trampoline that it calls, or only the pointer that it
   * calls through.
   */
  readonly via: 'site' | 'trampoline' | 'pointer' | 'retpoline';
  /** How many functions have a site. Interrupts and signals pass the second. */
  readonly functions: 1 | 2;
  /** A task passes the second site too, behind the first. */
  readonly passesBoth: boolean;
  /** With two, each site has a key of its own, and updates change one key after the other. */
  readonly keys: 1 | 2;
  /** Form and offset of the second site, where they are not the first one's. */
  readonly second: { readonly site: SiteShape; readonly offset: number } | null;
  /** Ways that the protocol has for a site, as bits of WAY (plan/way.ts); 0 where it has one. */
  readonly ways: number;
  /**
   * How the handler's table lists the sites. `each`: one at a time, because all steps are done for
   * one site before they are done for the next, as the kernel does for the trampoline and then for
   * each site of a static call.
   */
  readonly order: 'sorted' | 'unsorted' | 'duplicate' | 'each';
  /**
   * The table says of a tail site that it calls: the flag was lost on the way, as it was in the
   * kernel until 68b1eddd421d (in v5.12).
   */
  readonly lostTail: boolean;
  /**
   * The task spins with IF clear until the updater gives its lock back, while the updater waits for
   * every CPU to take an IPI.
   */
  readonly spin: boolean;
  /**
   * The program has an int3 of its own. It belongs to the SIGTRAP handler that was installed before
   * ours or, in the kernel, to the notifiers that are called after ours.
   */
  readonly foreign: boolean;
  /** Offset of the site in its cache line. */
  readonly offset: number;
  /** The patcher stores through the address at which its CPU executes the text. */
  readonly sameAddress: boolean;
  readonly rules: Rules;
  /** What runs in place of the program under test, if anything. */
  readonly program: FixtureProgram | null;
  /** Text that the protocol brings, in place of the first site. */
  readonly text: ParsedText | null;
  /** Instructions that may be executed at a site besides; null is any byte. */
  readonly also: readonly (readonly (number | null)[])[];
  /** A target that was replaced may run for as long as a CPU fetches it. */
  readonly eventually: boolean;
  /** It may only where a CPU fetches older bytes than memory holds. */
  readonly stored: boolean;
  /** Bytes other than old, new and int3 that the protocol stores as an instruction of its own. */
  readonly heads: readonly (readonly number[])[];
  /** A CPU acknowledges a request in the handler of a trap, and serialises when it leaves that. */
  readonly acknowledged: boolean;
}

export interface FixtureHandler {
  /**
   * Labels `entry` and `leave` as trap/kernel.ts says; a SIGTRAP handler begins at its first byte.
   */
  readonly program: Program;
  /** In the kernel: how a trap ends that was another's (trap/kernel.ts). */
  readonly resume: Program | null;
  readonly tables: 'poke' | 'registry';
  /** GS offsets of its stashes. */
  readonly stash: readonly number[];
  /**
   * Words of the POKE table that `publish` fills for the first site: `bytes` are its new ones, with
   * the first old one above them.
   */
  readonly globals: readonly {
    readonly offset: number;
    readonly holds: 'target' | 'end' | 'bytes';
  }[];
  /**
   * Offsets of words that it shares with the steps of a protocol, by the names that those use. Zero
   * at first.
   */
  readonly words: Readonly<Record<string, number>>;
  /** What the entry code of every event counts for it. */
  readonly counts: 'nmi' | 'level' | null;
}

/** A small program of its own, for a question about the machine and not about a protocol. */
export interface FixtureProgram {
  /**
   * Labels: `task` and `done`; `irq`, `nmi`, `trap`, `signal`, `restorer` where there are such
   * events; `previous`, a handler of SIGTRAP before the protocol's. Outside: `f`, `table`.
   */
  readonly program: Program;
  readonly target: (name: string) => Program;
  /** Words behind `table` that it writes. */
  readonly words: readonly number[];
}
