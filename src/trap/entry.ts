// Which entry code a kernel's breakpoint comes through.

/**
 * Who tells lockdep about a breakpoint: the entry code of 2019, or no code, as the poke handler
 * returns before any tracing.
 */
export type Entry = '2019' | 'today';
