import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { configure } from '#check/configuration';
import { check, protocols, replayToken } from '#check/index';
import { runAll } from '#check/ask/pool';
import { run } from '#check/search/run';
import { findProposal } from '#zoo/index';
import { isFault } from '#base/fault';
import { int3 } from '#plan/protocols/int3';
import { LONG, more } from '../more.js';

const FILE = 'examples/protocols/jmp-self.mjs';
const failingOf = async (file: string) =>
  Object.entries((await check([file])).runs[0]!.properties)
    .filter(([, { verdict }]) => verdict === 'fails')
    .map(([name]) => name);
const failing = async (options: Parameters<typeof check>[1]) => {
  const { runs } = await check([FILE], options);
  return Object.entries(runs[0]!.properties)
    .filter(([, { verdict }]) => verdict === 'fails')
    .map(([name]) => name);
};
const fault = async (doing: () => unknown) => {
  try {
    await doing();
  } catch (error) {
    if (isFault(error)) return `${error.code}: ${error.message} (${error.hint})`;
    throw error;
  }
  return 'no fault';
};

describe('the worked example of docs/protocols.md', () => {
  it('is the file that the page shows', () => {
    const shown = /```js\n([\s\S]*?)```/.exec(readFileSync('docs/protocols.md', 'utf8'))?.[1];
    expect(readFileSync(FILE, 'utf8')).toContain(shown!);
  });
  if (LONG)
    it('says what the page says', async () => {
      expect(await failing({})).toEqual(['torn']);
      expect(await failing({ chunk: 'qword' })).toEqual([]);
      for (const dropSync of [2, ...more(1)])
        expect(await failing({ chunk: 'qword', dropSync })).toContain('torn');
      expect(await failing({ chunk: 'qword', dropSync: 3 })).toEqual(['livelock']);
      expect(await failing({ chunk: 'qword', dropSync: 3, fetch: 'F1' })).toEqual([]);
      if (!LONG) return;
      expect(await failing({ chunk: 'qword', environment: 'kernel' })).toEqual([
        'deadlock',
        'livelock',
      ]);
    });
});

describe("a protocol of one's own", () => {
  const folder = mkdtempSync(join(tmpdir(), 'own-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const own = (name: string, protocol: object): string => {
    const file = join(folder, `${name}.mjs`);
    writeFileSync(
      file,
      `export default ${JSON.stringify({ name, about: 'a test', accepts: { bytes: 'whole', within: null }, handler: null, ...protocol })};`,
    );
    return file;
  };
  if (LONG)
    it('may tear down the table of the handler that ships, and then meets stale traps', async () => {
      const steps = [...int3.steps, { do: 'retire', why: 'to see what happens' }];
      const { runs } = await check([own('torn-down', { handler: 'sigtrap', steps })], {
        updates: 1,
      });
      expect(runs[0]!.environment).toBe('user');
      expect(runs[0]!.properties['target'].verdict).toBe('holds');
      expect(await failingOf(own('kept', { handler: 'sigtrap', steps: int3.steps }))).toEqual([
        'after-update-strict',
        'indirect-branch-strict',
      ]);
    });
  it('may name the words that its handler shares, and no others', async () => {
    const waits = (word: string) =>
      own(`waits-${word}`, {
        handler: 'counted',
        steps: [{ do: 'await', word, is: 0, why: 'nobody is in the table' }, ...int3.steps],
      });
    expect(await fault(() => check([waits('refz')]))).toBe(
      'bad-protocol: its handler shares no word refz (did you mean refs?)',
    );
    expect(
      await fault(() =>
        check([own('no-words', { steps: [{ do: 'await', word: 'refs', is: 0, why: 'y' }] })]),
      ),
    ).toBe('bad-protocol: its handler shares no word refs (it shares none)');
    expect(
      await fault(() => check([own('whose', { handler: 'sigtramp', steps: int3.steps })])),
    ).toMatch(/handler is sigtramp.*did you mean sigtrap\?/);
  });
  if (LONG)
    it('waits, exchanges and tries again as its steps say', async () => {
      const ends = async (name: string, ...steps: object[]) => {
        const { runs } = await check(
          [
            own(name, {
              handler: 'counted',
              steps: steps.map((step) => ({ why: 'to see what happens', ...step })),
            }),
          ],
          { contexts: ['task'], cpus: 1, passes: 1, updates: 1 },
        );
        return runs[0]!.properties['deadlock'].verdict;
      };
      const store = { do: 'exchange', word: 'refs', from: 0, to: 3 };
      expect(await ends('never', { do: 'await', word: 'refs', is: 3 })).toBe('fails');
      expect(await ends('at-once', store, { do: 'await', word: 'refs', is: 3 })).toBe('holds');
      expect(
        await ends('not-from', { ...store, from: 1 }, { do: 'await', word: 'refs', is: 3 }),
      ).toBe('fails');
      // Twice down from three, by going back once; a third time would need another try.
      const down = { do: 'count', word: 'refs', by: -1 };
      expect(
        await ends(
          'again',
          store,
          down,
          { do: 'retry', to: 1, word: 'refs', is: 1, times: 1 },
          { do: 'await', word: 'refs', is: 1 },
        ),
      ).toBe('holds');
      expect(
        await ends(
          'enough',
          store,
          down,
          { do: 'retry', to: 1, word: 'refs', is: 0, times: 1 },
          { do: 'await', word: 'refs', is: 7 },
        ),
      ).toBe('holds');
      expect(
        await ends(
          'too-far',
          store,
          down,
          { do: 'retry', to: 1, word: 'refs', is: 0, times: 2 },
          { do: 'await', word: 'refs', is: 7 },
        ),
      ).toBe('fails');
    });
});

describe('the library', () => {
  it('names every protocol once for each environment', () => {
    const names = protocols().map(({ name, environment }) => `${name} ${environment}`);
    expect(new Set(names).size).toBe(names.length);
  });
  it('suggests the nearest name', async () => {
    expect(await fault(() => check(['int3-gab']))).toBe(
      'unknown-protocol: there is no protocol int3-gab (did you mean int3-gap?)',
    );
    expect(await fault(() => check(['int3-gap/no-gab']))).toBe(
      'unknown-protocol: int3-gap has no variant no-gab (did you mean no-gap?)',
    );
    expect(await fault(() => check(['int3-gap'], { contexts: ['task', 'nmii' as 'nmi'] }))).toMatch(
      /unknown context nmii \(did you mean nmi\?\)/,
    );
  });
  it('says unknown, and never holds, when a bound is met', async () => {
    const { runs } = await check(['int3'], { statesMax: 100 });
    expect(runs[0]!.exhaustive).toBe(false);
    expect(Object.values(runs[0]!.properties).map(({ verdict }) => verdict)).not.toContain('holds');
  });
  it('stops when it is told to', async () => {
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 300);
    const { runs, incomplete } = await check(['int3-levels'], {
      contexts: ['task', 'irq', 'nmi', 'mc'],
      passes: 4,
      signal: stop.signal,
    });
    expect(incomplete).toBe(true);
    for (const { exhaustive, stopped, properties } of runs) {
      expect([exhaustive, stopped]).toEqual([false, 'interrupted']);
      expect(Object.values(properties).map(({ verdict }) => verdict)).not.toContain('holds');
    }
    expect(await check(['int3-gap', 'naive'], { signal: AbortSignal.abort() })).toEqual({
      runs: [],
      incomplete: true,
    });
  });
  it('keeps what an interrupted search has found', () => {
    const naive = findProposal('naive', '', 'kernel');
    const configuration = configure({ contexts: ['task'], cpus: 4, reduce: 'none' });
    let looks = 0;
    const { properties, stopped } = run(naive, configuration, {
      states: 1e7,
      seconds: 60,
      signal: {
        get aborted() {
          return ++looks > 20;
        },
      },
    });
    expect(stopped).toBe('interrupted');
    expect([properties.get('torn')!.verdict, properties.get('stack')!.verdict]).toEqual([
      'fails',
      'unknown',
    ]);
  });
  it('says unknown where memory runs out, and keeps what it has found', async () => {
    const naive = findProposal('naive', '', 'kernel');
    let looks = 0;
    const signal = {
      get aborted(): boolean {
        if (++looks > 20) throw new RangeError('Array buffer allocation failed');
        return false;
      },
    };
    const { properties, stopped } = run(
      naive,
      configure({ contexts: ['task'], cpus: 4, reduce: 'none' }),
      { states: 1e7, seconds: 60, signal },
    );
    expect([stopped, properties.get('torn')!.verdict, properties.get('stack')!.verdict]).toEqual([
      'out of memory',
      'fails',
      'unknown',
    ]);
    // A search that fills its 40 MB takes some seconds.
    if (!LONG) return;
    const job = (protocol: string, cpus: number) => ({
      file: null,
      protocol,
      variant: '',
      configuration: configure({ contexts: ['task', 'irq', 'nmi', 'mc'], passes: 4, cpus }),
      limits: { states: 1e7, seconds: 60 },
    });
    const [big, small] = await runAll(
      [
        job('int3-levels', 4),
        {
          ...job('naive', 1),
          configuration: configure({ contexts: ['task'], passes: 1, updates: 1 }),
        },
      ],
      undefined,
      () => undefined,
      40,
    );
    expect([
      big!.stopped,
      new Set(Object.values(big!.properties).map(({ verdict }) => verdict)),
    ]).toEqual(['out of memory', new Set(['unknown'])]);
    expect(small!.properties.torn.verdict).toBe('fails');
  });
});

describe('a path', () => {
  if (LONG)
    it('replays to the same violation, within fifteen lines of a hundred columns', async () => {
      const { runs } = await check(['naive', 'int3-stub', 'int3-percpu/fixed'], {
        environment: 'kernel',
        contexts: ['task', 'irq', 'nmi'],
        passes: 1,
        updates: 1,
      });
      for (const run of runs)
        for (const [name, { path, picture, steps }] of Object.entries(run.properties)) {
          if (path === undefined) continue;
          const again = replayToken(path);
          expect(again.property).toBe(name);
          expect(again.picture).toBe(picture);
          expect(again.steps).toHaveLength(steps!);
          const lines = picture!.split('\n');
          expect(lines.length).toBeLessThanOrEqual(15);
          expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(100);
          expect(again.svg).toMatch(/^<svg .*<\/svg>\n$/s);
        }
    });
  it('of another version is refused by name', async () => {
    expect(await fault(() => replayToken('path99.e30'))).toMatch(
      /version 99 of the model; this is version 2/,
    );
    expect(await fault(() => replayToken('path1.e30'))).toMatch(
      /version 1 of the model; this is version 2/,
    );
    expect(await fault(() => replayToken('nonsense'))).toMatch(/no path of check/);
    expect(await fault(() => replayToken('path2.e30'))).toMatch(/damaged/);
  });
});
