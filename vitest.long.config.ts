import { defineConfig } from 'vitest/config';

// The campaigns: the same files as their short forms import, at full length, one at a time.
export default defineConfig({
  test: {
    globalSetup: ['test/setup.ts'],
    reporters: ['default', './test/skipped.ts'],
    includeTaskLocation: true,
    include: ['test/**/*.long.ts'],
    fileParallelism: false,
    testTimeout: 1_800_000,
    hookTimeout: 600_000,
  },
});
