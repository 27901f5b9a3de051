import { readdirSync, readFileSync } from 'node:fs';
import { defineConfig } from 'vitest/config';
import { COMMON, groups } from './test/groups.js';

// The campaigns: the same files as their short forms import, at full length; and every file of the
// short run that has repetitions left for here.
const repeated = readdirSync('test', { recursive: true, encoding: 'utf8' })
  .map((name) => `test/${name}`)
  .filter(
    (path) =>
      path.endsWith('.test.ts') &&
      /from '\.{1,2}\/(\.\.\/)*more\.js'/.test(readFileSync(path, 'utf8')),
  );

export default defineConfig({
  test: {
    ...COMMON,
    testTimeout: 1_800_000,
    hookTimeout: 600_000,
    provide: { long: true },
    projects: groups('long', repeated),
  },
});
