import { defineConfig } from 'vitest/config';

// Two groups. `process` starts native threads and measures nothing, but a crash or a starved thread
// there must not be blamed on a neighbour, so its files run one at a time, after the others.
// The number of workers is stated because vitest would leave a CPU to itself, and on two CPUs that is half of the machine.
export default defineConfig({
  test: {
    globalSetup: ['test/setup.ts'],
    reporters: ['default', './test/skipped.ts'],
    includeTaskLocation: true,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
    projects: [
      {
        extends: true,
        test: {
          name: 'pure',
          include: ['test/**/*.{test,prop}.ts'],
          exclude: ['test/process/**'],
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'process',
          include: ['test/process/**/*.{test,prop}.ts'],
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
