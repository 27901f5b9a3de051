// What the pool and its threads say to each other.

import type { Configuration } from '../configuration.js';
import type { RunReport } from '../explain/report.js';

export interface Job {
  /** A user's protocol, else null. */
  readonly file: string | null;
  readonly protocol: string;
  readonly variant: string;
  readonly configuration: Configuration;
  readonly limits: { readonly states: number; readonly seconds: number };
}

/** What a thread is told to begin with. */
export interface Hands {
  /** One word, not zero once the searches shall end. */
  readonly aborted: Int32Array;
}

export type Answer =
  | { readonly job: number; readonly report: RunReport }
  | {
      readonly job: number;
      readonly fault: {
        readonly code: string;
        readonly message: string;
        readonly hint: string;
        readonly at?: string;
      };
    }
  | { readonly job: number; readonly error: string };
