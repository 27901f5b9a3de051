import { expect, it } from 'vitest';
import { Batch, Gathering } from '#plan/batch';

const [HERE, THERE] = [0x1000, 0x9000];

/** Edits from `at` on, each with bytes of its own. */
function batchOf(count: number, at: number, way = 1): Batch {
  const batch = new Batch(count);
  batch.count = count;
  batch.ways = way;
  for (let i = 0; i < count; i++) {
    batch.at[i] = at + 32 * i;
    batch.length[i] = 5;
    batch.way[i] = way;
    batch.old.fill(at + i, 8 * i, 8 * i + 5);
    batch.new.fill(at + i + 1, 8 * i, 8 * i + 5);
  }
  return batch;
}

interface Edit {
  readonly at: number;
  readonly old: readonly number[];
  readonly new: readonly number[];
  readonly way: number;
}

const editsOf = (batches: readonly Batch[]): Edit[] =>
  batches
    .flatMap((b) =>
      Array.from({ length: b.count }, (_, i) => ({
        at: b.address(i),
        old: [...b.old.subarray(8 * i, 8 * i + 5)],
        new: [...b.new.subarray(8 * i, 8 * i + 5)],
        way: b.way[i]!,
      })),
    )
    .sort((a, b) => a.at - b.at);

it('a thousand keys that are updated at once are one batch for each text, and no edit is lost', () => {
  const KEYS = 1000;
  const batches = Array.from({ length: KEYS }, (_, i) =>
    batchOf(1 + (i % 3), 1000 * i, 1 << (i % 3)),
  );
  const texts = batches.map((_, i) => (i % 7 === 0 ? THERE : HERE));
  const gathered = new Gathering().gather(batches, texts);
  expect(gathered).toHaveLength(2);
  expect(gathered.map(({ ways }) => ways)).toEqual([7, 7]);
  expect(editsOf(gathered)).toEqual(editsOf(batches));
  const apart = batches.filter((_, i) => texts[i] === THERE);
  expect(editsOf(gathered.slice(0, 1))).toEqual(editsOf(apart));
});

it('a large key beside many small ones is not copied', () => {
  const large = batchOf(1000, 0);
  const small = Array.from({ length: 20 }, (_, i) => batchOf(2, 100_000 + 1000 * i));
  const all = [...small.slice(0, 10), large, ...small.slice(10)];
  const gathered = new Gathering().gather(
    all,
    all.map(() => HERE),
  );
  expect(gathered).toContain(large);
  expect(gathered).toHaveLength(2);
  expect(editsOf(gathered)).toEqual(editsOf(all));
});

it('a few batches stay as they are: each is an operation, and none is copied', () => {
  const [large, small] = [batchOf(1000, 0), batchOf(3, 100_000)];
  const gathered = new Gathering().gather([large, small], [HERE, HERE]);
  expect(gathered[0]).toBe(large);
  expect(gathered[1]).toBe(small);
});

it('what was gathered for the last update is not in the next one', () => {
  const gathering = new Gathering();
  const [first, second] = [0, 1].map((k) =>
    Array.from({ length: 30 - 10 * k }, (_, i) => batchOf(1, 1000 * i, 1 << k)),
  );
  const texts = Array.from({ length: 30 }, () => HERE);
  gathering.gather(first!, texts);
  const gathered = gathering.gather(second!, texts);
  expect(editsOf(gathered)).toEqual(editsOf(second!));
  expect(gathered.map(({ ways }) => ways)).toEqual([2]);
});
