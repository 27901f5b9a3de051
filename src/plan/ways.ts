// The names of the ways by which a site is written (way.ts), which a protocol speaks of.

export const WAYS = ['byte', 'store', 'behind', 'trap'] as const;
export type Way = (typeof WAYS)[number];

/** How many sites and trampolines an update wrote by each way. */
export type WayCounts = Readonly<Record<Way, number>>;

/** Sets of ways are bits: there is one in a column for each of a hundred thousand sites. */
export const WAY: Readonly<Record<Way, number>> = { byte: 1, store: 2, behind: 4, trap: 8 };
export const waysOf = (ways: readonly Way[]): number =>
  ways.reduce((bits, way) => bits | WAY[way], 0);
