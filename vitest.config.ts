import { defineConfig } from 'vitest/config';

// Two groups. A crash or a starved thread must not be blamed on a neighbour, so files that start native threads run
// one at a time, after the others. The number of workers is stated because vitest would leave a CPU to itself, and on two
// CPUs that is half of the machine. A worker is kept for many files: no module here has state, and a process for each file
// costs half a minute in all.
const THREADS = ['bench', 'builds', 'commands', 'hazards', 'held', 'injected', 'litmus', 'many', 'mistakes', 'soak', 'storms', 'strangers', 'torn', 'updates'].map((name) => `test/process/${name}.test.ts`);

export default defineConfig({
  test: {
    globalSetup: ['test/setup.ts'],
    reporters: ['default', './test/skipped.ts'],
    includeTaskLocation: true,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
    isolate: false,
    projects: [
      {
        extends: true,
        test: {
          name: 'parallel',
          include: ['test/**/*.{test,prop}.ts'],
          exclude: THREADS,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'serial',
          include: THREADS,
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
