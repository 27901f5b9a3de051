// programs/grid.c as the children use it.
import { koffi } from './soaked.mjs';

/** Which outcome, by its number in grid.c, stands for which target. */
export const OUTCOME_OF = {
  work: { ret0: 0, work_one: 1, work_two: 2, work_three: 3 },
  hook: { null: 4, hook_five: 5, hook_six: 6 },
};

/** What a pass of all sites meets when the keys have these targets. */
export const bitsOf = ({ work, hook }) =>
  (1 << OUTCOME_OF.work[work]) | (1 << OUTCOME_OF.hook[String(hook)]);

export function openGrid(path) {
  const library = koffi.load(path);
  const [passes, counts] = [
    library.func('uint64_t grid_passes()'),
    library.func('void grid_counts(void *)'),
  ];
  return {
    library,
    start: library.func('int grid_start(int)'),
    stop: library.func('void grid_stop()'),
    now: library.func('int grid_now()'),
    query: library.func('long grid_query()'),
    sites: library.func('int grid_sites()'),
    passes: () => Number(passes()),
    counts() {
      const sums = new BigUint64Array(7);
      counts(sums);
      return [...sums].map(Number);
    },
  };
}
