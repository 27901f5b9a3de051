import { defineConfig } from 'vitest/config';

// Three groups, one after the other. Who changes a process that runs has native threads, and wants a CPU for them: such files
// do not share the machine with compilers. Who watches two CPUs at once shares it with nobody. A file that is new in
// test/process is taken to have threads until it is named here. The number of workers is stated because vitest would leave a
// CPU to itself, and on two CPUs that is half of the machine. A worker is kept for many files: no module here has state, and
// a process for each file costs half a minute in all.
const STILL = [
  'checksum',
  'crossings',
  'edge',
  'far',
  'handler',
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
const ALONE = ['bench', 'litmus', 'torn'];

const these = (names: readonly string[]): string => `test/process/@(${names.join('|')}).test.ts`;
const allBut = (names: readonly string[]): string => `test/process/!(${names.join('|')}).test.ts`;

export default defineConfig({
  test: {
    globalSetup: ['test/setup.ts'],
    reporters: ['default', './test/skipped.ts'],
    includeTaskLocation: true,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
    isolate: false,
    provide: { long: false },
    projects: [
      {
        extends: true,
        test: {
          name: 'still',
          include: ['test/**/*.{test,prop}.ts'],
          exclude: [allBut(STILL)],
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'threads',
          include: [allBut([...STILL, ...ALONE])],
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'alone',
          include: [these(ALONE)],
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
