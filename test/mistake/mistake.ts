// A mistake put into the product for one child process, to see that a check notices it.

import { pathToFileURL } from 'node:url';

export interface Mistake {
  /** In `dist`: `keys/bind.js`. */
  readonly file: string;
  /** Text that is there once, and what stands in its place. */
  readonly edits: readonly (readonly [from: string, to: string])[];
}

/** The environment of a process that makes it. */
export function making(mistake: Mistake): Record<string, string> {
  return { STATIC_CALL_MISTAKE: JSON.stringify(mistake), NODE_OPTIONS: `--import=${pathToFileURL('test/mistake/preload.mjs').href}` };
}
