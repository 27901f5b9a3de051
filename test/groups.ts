// The tests in three groups, one after the other; the short run and the long one share them.
//
// A file that changes a process that runs has native threads, and wants a CPU for them: such files
// do not share the machine with compilers. A file that watches two CPUs at once shares it with
// nothing. A new file in test/process is taken to have threads until it is named here.

import { BaseSequencer, type TestSpecification } from 'vitest/node';

const STILL = [
  'checksum',
  'crossings',
  'edge',
  'far',
  'handler',
  'keys',
  'names',
  'rebuilt',
  'own',
  'recipes',
  'refusals',
  'sharing',
  'shipped',
  'silicon',
  'surface',
  'survey',
  'tables',
  'script',
  'transitions',
];
const ALONE = ['bench', 'litmus', 'performed', 'torn'];

const of = (names: readonly string[], kinds: string, sign: '@' | '!'): string =>
  `test/process/${sign}(${names.join('|')}).${kinds}.ts`;

function groupOf(path: string): 'still' | 'threads' | 'alone' {
  const name = /^test\/process\/(\w+)\./.exec(path)?.[1];
  if (name === undefined || STILL.includes(name)) return 'still';
  return ALONE.includes(name) ? 'alone' : 'threads';
}

/**
 * The groups of a run.
 *
 * @param kinds which files: what stands before `.ts` in their names, as a pattern
 * @param also paths of further files
 */
export function groups(kinds: string, also: readonly string[] = []) {
  const more = (group: ReturnType<typeof groupOf>) =>
    also.filter((path) => groupOf(path) === group);
  const still = {
    name: 'still',
    include: [`test/**/*.${kinds}.ts`, ...more('still')],
    exclude: [of(STILL, kinds, '!')],
  };
  const threads = {
    name: 'threads',
    include: [of([...STILL, ...ALONE], kinds, '!'), ...more('threads')],
  };
  const alone = {
    name: 'alone',
    include: [of(ALONE, kinds, '@'), ...more('alone')],
    fileParallelism: false,
  };
  return [still, threads, alone].map((test, groupOrder) => ({
    extends: true as const,
    test: { ...test, sequence: { groupOrder } },
  }));
}

/** Takes half a minute by the clock: begun last, it would leave the other CPU idle for most of it. */
const FIRST = 'lifestorm';

/** vitest begins with the largest files where it does not know how long each one takes. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const first = ({ moduleId }: TestSpecification): boolean => moduleId.includes(`/${FIRST}.`);
    return [...sorted.filter(first), ...sorted.filter((file) => !first(file))];
  }
}

/**
 * What both runs have in common. The number of workers is stated because vitest would leave a CPU
 * to itself, and on two CPUs that is half of the machine. A worker is kept for many files: no
 * module here has state, and a process for each file costs half a minute in all.
 */
export const COMMON = {
  globalSetup: ['test/setup.ts'],
  reporters: ['default', './test/skipped.ts'],
  includeTaskLocation: true,
  maxWorkers: 2,
  sequence: { sequencer: LongestFirst },
  isolate: false,
};
