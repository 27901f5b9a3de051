// What the checker answers, as plain data: what `--json` prints, what a worker sends, what the
// library returns. The declarations of the library reach this file and none of the search behind it
// (test/declarations.ts).

import type { BOUNDS, Configuration } from './configuration.js';
import type { PropertyName } from './properties.js';

export type VerdictWord = 'holds' | 'fails' | 'not-applicable' | 'unknown';

/** What a run that says `holds` claims. */
export interface Claim {
  /** `proved` where nothing was counted, `checked` within what was. */
  readonly word: 'proved' | 'checked';
  /** What was counted, of a run without bounds. */
  readonly within: readonly string[];
  /** Of a run within bounds, where a proof was tried first: why it is none. */
  readonly because?: string;
}

/** What was found of one property; all but the verdict only where it fails. */
export interface PropertyReport {
  readonly verdict: VerdictWord;
  /** Moves on the path that is drawn. */
  readonly steps?: number;
  readonly story?: string;
  /** Replays it: `static-call check --path`. */
  readonly path?: string;
  /** Drawn as lanes. */
  readonly picture?: string;
  /**
   * Of `unknown`: the search was exhaustive and broke nothing, but these fail so that the machine
   * cannot go on, and what would have come behind that was not seen.
   */
  readonly beyond?: readonly PropertyName[];
  /** Where it was judged with fewer contexts than the run names: with these. */
  readonly contexts?: Configuration['contexts'];
  /**
   * Of `fails` in a run within bounds: it was found without them, by a search that did not decide
   * everything.
   */
  readonly bounds?: 'any';
}

/** What was found of one protocol in one configuration, within the bounds that it names. */
export interface RunReport extends Omit<Configuration, 'reduce' | 'offset'> {
  readonly protocol: string;
  readonly variant: string;
  /** Offset of the site in its cache line. */
  readonly offset: number | null;
  /** Where all offsets were asked for: those at which everything is the same. */
  readonly offsets?: readonly number[];
  readonly reduce: Configuration['reduce'];
  readonly properties: Readonly<Record<PropertyName, PropertyReport>>;
  readonly states: number;
  readonly transitions: number;
  readonly seconds: number;
  readonly exhaustive: boolean;
  /** Why it is not exhaustive. */
  readonly stopped: string | null;
  readonly bounds: typeof BOUNDS;
  /** What it means where a property holds: for any number, or within what was counted. */
  readonly claim: Claim;
  readonly bytesPerState: number;
  readonly edgeBytesPerState: number;
  readonly parts: {
    readonly images: number;
    readonly cpus: number;
    readonly environments: number;
    readonly instructions: number;
  };
}

/** The patcher's operations by name. */
export type OpName =
  | 'store'
  | 'write'
  | 'count'
  | 'exchange'
  | 'await'
  | 'retry'
  | 'current'
  | 'return'
  | 'lock'
  | 'unlock'
  | 'send'
  | 'wait'
  | 'barrier'
  | 'stop'
  | 'stopped'
  | 'ask'
  | 'self'
  | 'pass'
  | 'release';

/** One step of a path. */
export interface TraceStep {
  /** -1 the patcher, else the CPU's number. */
  readonly who: number;
  readonly what: string;
  /** The patcher's reason. */
  readonly why: string | null;
  /** Of the protocol; -1 for what is no step of it. */
  readonly step: number;
  readonly update: number;
  /** The patcher's operation. */
  readonly op: OpName | null;
  /**
   * Bytes that it stored in a site: where, by address and by name, and how many bytes its step
   * stores there in all.
   */
  readonly stored: {
    readonly address: number;
    readonly at: string;
    readonly bytes: readonly number[];
    readonly of: number;
  } | null;
  /** Bytes of the first site in memory afterwards. */
  readonly site: readonly number[];
  /** Bytes that were fetched. */
  readonly fetched: readonly number[] | null;
  /** The target whose first instruction was run. */
  readonly entered: string | null;
  /** Something came to this CPU from outside. */
  readonly event: boolean;
  /** A CPU does what the patcher asked it for. */
  readonly answer: boolean;
  /** Of little interest in a picture. */
  readonly minor: boolean;
}

/** One way to a violation, step by step and drawn. */
export interface PathReport {
  readonly protocol: string;
  readonly variant: string;
  /** The protocol came with the token and is none of `protocols()`, whatever its name. */
  readonly own: boolean;
  readonly property: string;
  readonly steps: readonly TraceStep[];
  readonly picture: string;
  /** The picture as an image; of `replayUnder`, both schedules side by side. */
  readonly svg: string;
}

/** The pages by the names of their files. */
export interface Pages {
  readonly 'verdicts.md': string;
  readonly 'counterexamples.md': string;
}
