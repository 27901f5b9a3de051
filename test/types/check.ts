// The checker as a library, as a caller sees it; compiled and never run, as surface.ts is.

import {
  check,
  checkMatrix,
  protocols,
  replayToken,
  type CheckOptions,
  type CheckReport,
  type PropertyName,
  type Protocol,
} from 'static-call/check';

export async function settled(signal: AbortSignal): Promise<boolean> {
  const report: CheckReport = await check(['int3', './mine.mjs'], {
    cpus: 3,
    fetch: 'F2',
    contexts: ['task', 'nmi'],
    signal,
    onRun: (run, done, all) => void [run.states, done / all],
  });
  const [run] = report.runs;
  const word: 'holds' | 'fails' | 'not-applicable' | 'unknown' | undefined =
    run?.properties.torn.verdict;
  const path: string | undefined = run?.properties['after-update'].path;
  if (path !== undefined) replayToken(path).steps.at(0);
  // @ts-expect-error a verdict names a property that there is
  void run?.properties.tron;
  // @ts-expect-error it is told, not set
  report.incomplete = false;
  return word === 'holds' && !(await checkMatrix('full', { signal })).incomplete;
}
// @ts-expect-error one name is a list of one
void check('int3');
// @ts-expect-error no such level
void check(['int3'], { fetch: 'F9' });
// @ts-expect-error no such context
void check(['int3'], { contexts: ['softirq'] });
// @ts-expect-error no such matrix
void checkMatrix('half');
// @ts-expect-error a search has no default bound of that name
const bounds: CheckOptions = { statesMin: 1 };
void bounds;
// @ts-expect-error no such property
const property: PropertyName = 'tron';
void property;

export const names: readonly string[] = protocols()
  .filter(({ environment }) => environment === 'user')
  .map(({ name }) => name);

/** A way of one's own, as its file exports it. */
export const mine: Protocol = {
  name: 'mine',
  about: 'one store and a sync',
  accepts: { bytes: 'changed', within: 'line' },
  handler: null,
  steps: [
    { do: 'publish', why: 'calls that begin now may go there' },
    { do: 'store', part: 'changed', bytes: 'new', as: 'one', why: 'inside one line' },
    { do: 'sync', why: 'nobody keeps the old bytes' },
  ],
};
export const wrong: Protocol = {
  ...mine,
  // @ts-expect-error a step says why
  steps: [{ do: 'sync' }],
};
