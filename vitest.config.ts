import { defineConfig } from 'vitest/config';
import { COMMON, groups } from './test/groups.js';

export default defineConfig({
  test: {
    ...COMMON,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    provide: { long: false },
    projects: groups('{test,prop}'),
  },
});
