// The promises that the simulated machine judges a run by. The floor that finds them broken owns
// their names: a name that no list knows would be dropped by the search, and the verdict would be
// "holds".

/** Whether a run goes on after the promise is broken. */
type After =
  /** The machine no longer does what its program says. */
  | 'ends'
  /** The machine still does what its program says. */
  | 'goes on';

const AFTER = {
  torn: 'ends',
  target: 'ends',
  'after-update': 'ends',
  'after-update-strict': 'goes on',
  stack: 'ends',
  flags: 'ends',
  slot: 'ends',
  lockdep: 'goes on',
  'shadow-stack': 'ends',
  'indirect-branch': 'goes on',
  'indirect-branch-strict': 'goes on',
  'stray-trap': 'ends',
  unwind: 'goes on',
} as const satisfies Record<string, After>;

export type PromiseName = keyof typeof AFTER;

export const endsPath = (name: PromiseName): boolean => AFTER[name] === 'ends';
