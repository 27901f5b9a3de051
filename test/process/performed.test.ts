import { describe, expect, it } from 'vitest';
import { whyNot } from '#host/litmus';
import { line } from '../cli/line.js';
import { performed } from './performed.js';

describe.skipIf(whyNot() !== null)('check PROTOCOL --litmus', () => {
  it('counts each mixture of a call that five stores tear, beside what each model allows', async ({
    skip,
  }) => {
    let [status, run] = await performed(0.3, 'naive', '--offset', '61');
    // A loaded machine may have kept the two threads apart.
    for (
      let again = 0;
      again < 4 && run.skipped === null && run.seen['mixed'] === undefined;
      again++
    )
      [status, run] = await performed(1.5, 'naive', '--offset', '61');
    if (run.skipped !== null) skip(run.skipped);
    expect(status).toBe(1);
    expect(run).toMatchObject({ name: 'naive', offset: 61 });
    expect(Object.keys(run.mixtures).length).toBeGreaterThan(0);
    for (const name of Object.keys(run.mixtures)) expect(name).toMatch(/^[01]{4}$/);
    expect(run.allowed).toContainEqual({ fetch: 'F0', chunk: 'line', store: 'line' });
  });

  it.each([
    [['stop-machine'], 'stop is neither a store to text nor a synchronisation'],
    [['examples/protocols/smash.mjs'], 'brings text of its own'],
    [['store', '--offset', '61'], 'takes no site at offset 61'],
    [['int3', '--drop-sync', '4'], 'drop-sync is 4'],
    [['--offset', '8'], '--offset says nothing beside --litmus alone'],
  ])('%j is refused: %s', async (words, message) => {
    const { status, stdout, stderr } = await line(['check', ...words, '--litmus']);
    expect(stderr).toContain(message);
    expect({ stdout, failed: status > 1 }).toEqual({ stdout: '', failed: true });
  });
});
