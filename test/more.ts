// Repetitions: what the short run has shown once, again for other compilers, ways and builds, and
// the mistakes that are noticed as a like one was. `npm test` has three minutes for everything; the
// long run has time, and runs every file that imports this one (vitest.long.config.ts).

import { inject } from 'vitest';

declare module 'vitest' {
  export interface ProvidedContext {
    readonly long: boolean;
  }
}

/** Whether this is the long run. */
export const LONG: boolean = inject('long');

/** These rows in the long run, none of them in the short one. */
export const more = <const T extends readonly unknown[]>(...rows: T): readonly T[number][] =>
  LONG ? rows : [];
