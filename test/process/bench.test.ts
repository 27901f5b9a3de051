import { describe, it } from 'vitest';
import { bench, expectRefused } from './bench.js';

describe('the benchmark', () => {
  it('refuses the rows of a running thread when that does not run', () => {
    expectRefused(bench('stopped'));
  });
});
