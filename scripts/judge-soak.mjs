// What is wrong with a report of the soak, one line for each fault; none is good. `npm run soak`
// ends by it, and the tests hand it reports that were made worse in one place.

/** What must be nothing, by the name it is printed under. */
export const NOTHING = {
  'wrong results': 'wrong',
  'lost calls': 'lost',
  'storms that failed': 'failed',
  'sites off their key': 'drift',
  'bytes not put back': 'differs',
  'foreign traps': 'foreign',
};

/** Growth is judged where there was time to settle: a minute, and as long again. */
const SETTLED_SECONDS = 120;
const [HEAP, RESIDENT_MB, MAPPINGS] = [1.05, 16, 32];

/** @param got what test/process/children/storms.mjs prints */
export function judgeSoak(got) {
  const faults = [];
  const must = (holds, what) => holds || faults.push(what);
  for (const [name, field] of Object.entries(NOTHING))
    must(got[field] === 0, `${got[field]} ${name}`);
  for (const [way, traps] of Object.entries(got.traps))
    if (!way.startsWith('auto'))
      must(traps > 0 === way.startsWith('int3'), `${traps} traps under ${way}`);
  for (const [storm, gusts] of Object.entries(got.gusts))
    must(storm === 'calm' || gusts > 0, `no ${storm}`);
  for (const [outcome, calls] of Object.entries(got.outcomes))
    must(outcome === 'wrong' || calls > 0, `no call came to ${outcome}`);
  for (const form of ['call 5', 'call 6', 'jmp 5', 'jcc 6', 'if 5', 'unless 5'])
    must(got.sites[form] > 0, `no site of the form ${form}`);
  const { settled, last } = got;
  must(
    last.ours === settled.ours,
    `mappings of the libraries and of ours: ${settled.ours}, then ${last.ours}`,
  );
  if (got.seconds >= SETTLED_SECONDS) {
    must(
      last.heapMB / settled.heapMB < HEAP,
      `the heap grew from ${settled.heapMB} to ${last.heapMB} MB`,
    );
    must(
      last.residentMB - settled.residentMB < RESIDENT_MB,
      `resident memory grew from ${settled.residentMB} to ${last.residentMB} MB`,
    );
    // Those of the engine and of libc's arenas come and go by a few.
    must(
      last.mappings - settled.mappings < MAPPINGS,
      `there were ${settled.mappings} mappings, then ${last.mappings}`,
    );
  }
  return faults;
}
