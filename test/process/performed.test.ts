import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { TemporaryFolder } from '#base/folder';
import { whyNot } from '#host/litmus';
import { line } from '../cli/line.js';
import { LONG } from '../more.js';
import { performed } from './performed.js';

describe.skipIf(whyNot() !== null)('check PROTOCOL --litmus', () => {
  if (LONG)
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
      if (!run.met) skip('the two threads did not meet');
      expect(status).toBe(1);
      expect(run).toMatchObject({ name: 'naive', offset: 61 });
      expect(Object.keys(run.mixtures).length).toBeGreaterThan(0);
      for (const name of Object.keys(run.mixtures)) expect(name).toMatch(/^[01]{4}$/);
      expect(run.allowed).toContainEqual({ fetch: 'F0', chunk: 'line', store: 'line' });
    });

  it.runIf(LONG)(
    'performs text of its own, and names a torn distance by its bytes',
    async ({ skip }) => {
      await using folder = new TemporaryFolder('static-call-performed-');
      const file = join(folder.path, 'text.json');
      const why = 'one after the other';
      writeFileSync(
        file,
        JSON.stringify({
          name: 'text',
          about: 'a call behind a nop, byte by byte',
          accepts: { bytes: 'changed', within: null },
          handler: null,
          text: {
            states: [
              { name: 'one', runs: 'A', bytes: '66 90 e8 {A}' },
              { name: 'two', runs: 'B', bytes: '66 90 e8 {B}' },
            ],
          },
          steps: [
            { do: 'publish', why },
            { do: 'write', at: 3, bytes: 4, from: 'new', as: 'bytes', why },
          ],
        }),
      );
      let [status, run] = await performed(0.3, file, '--offset', '59');
      for (
        let again = 0;
        again < 4 && run.skipped === null && run.seen['mixed'] === undefined;
        again++
      )
        [status, run] = await performed(1.5, file, '--offset', '59');
      if (run.skipped !== null) skip(run.skipped);
      if (!run.met) skip('the two threads did not meet');
      expect(status).toBe(1);
      expect(run.seen['whole']).toBeGreaterThan(0);
      for (const name of Object.keys(run.mixtures)) expect(name).toMatch(/^([0-9a-f]{2} ?){4}$/);
      expect(run.strictest[0]).toEqual({ fetch: 'F0', chunk: 'line', store: 'line' });
    },
  );

  it.each([
    [['stop-machine'], 'stop is neither a store to text nor a synchronisation'],
    [['examples/protocols/smash.mjs'], 'may execute other instructions'],
    [['examples/protocols/jump-over.json'], 'grace is neither a store to text'],
    [['store', '--offset', '61'], 'takes no site at offset 61'],
    [['int3', '--drop-sync', '4'], 'drop-sync is 4'],
    [['--offset', '8'], '--offset says nothing beside --litmus alone'],
  ])('%j is refused: %s', async (words, message) => {
    const { status, stdout, stderr } = await line(['check', ...words, '--litmus']);
    expect(stderr).toContain(message);
    expect({ stdout, failed: status > 1 }).toEqual({ stdout: '', failed: true });
  });
});
