import { expect, it } from 'vitest';
import { Batch } from '#plan/batch';
import { merge } from '#plan/draw';

/** A batch of one edit whose address is looked at so often. */
function counting(at: number, looked: () => void): Batch {
  const column = new Proxy(Float64Array.of(at), {
    get(target, name) {
      if (name === '0') looked();
      return Reflect.get(target, name, target) as unknown;
    },
  });
  const batch = new Batch(1, {
    at: column,
    length: Uint8Array.of(5),
    old: new Uint8Array(8),
    new: new Uint8Array(8),
  });
  batch.count = 1;
  return batch;
}

it('ten thousand keys that are updated at once cost a few looks at each, and come out in order', () => {
  const KEYS = 10_000;
  let looks = 0;
  const batches = Array.from({ length: KEYS }, (_, i) =>
    counting(1 + ((i * 7919) % KEYS), () => looks++),
  );
  const merged = merge(batches);
  expect(merged.count).toBe(KEYS);
  expect([...merged.at]).toEqual(Array.from({ length: KEYS }, (_, i) => i + 1));
  expect(looks).toBeLessThan(4 * KEYS);
});

it('edits of batches that lie between each other come out ascending, each with its bytes', () => {
  const batches = [0, 1, 2].map((k) => {
    const batch = new Batch(4);
    batch.count = k === 1 ? 0 : 4;
    for (let i = 0; i < 4; i++) {
      batch.at[i] = 100 * i + k;
      batch.length[i] = 5;
      batch.new[8 * i] = 10 * k + i;
    }
    return batch;
  });
  const { at, new: bytes, count } = merge(batches);
  expect([...at.subarray(0, count)]).toEqual([0, 2, 100, 102, 200, 202, 300, 302]);
  expect(Array.from({ length: count }, (_, i) => bytes[8 * i])).toEqual([
    0, 20, 1, 21, 2, 22, 3, 23,
  ]);
});

it('a small key beside a large one costs a search for where it lies, and no look at each edit', () => {
  const [LARGE, SMALL] = [10_000, 3];
  let looks = 0;
  const columns = Float64Array.from({ length: LARGE }, (_, i) => 32 * i);
  const large = new Batch(LARGE, {
    at: new Proxy(columns, {
      get(target, name) {
        if (typeof name === 'string' && /^[0-9]+$/.test(name)) looks++;
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    }),
    length: new Uint8Array(LARGE).fill(5),
    old: Uint8Array.from({ length: 8 * LARGE }, (_, i) => i % 251),
    new: Uint8Array.from({ length: 8 * LARGE }, (_, i) => i % 241),
    way: Uint8Array.from({ length: LARGE }, (_, i) => (i === 7777 ? 2 : 1)),
  });
  large.count = LARGE;
  large.ways = 3;
  const small = new Batch(SMALL);
  small.count = SMALL;
  for (let i = 0; i < SMALL; i++) small.at[i] = 32 * (10 + 4000 * i) + 16;
  const merged = merge([large, small]);
  expect(merged.count).toBe(LARGE + SMALL);
  expect(merged.ways).toBe(3);
  expect([...merged.at]).toEqual([...columns, ...small.at].sort((a, b) => a - b));
  const behind = (i: number): number => i + small.at.filter((at) => at < columns[i]!).length;
  const third = Array.from(columns, (_, i) => merged.old[8 * behind(i) + 3]);
  const last = Array.from(columns, (_, i) => merged.new[8 * behind(i) + 7]);
  expect(third).toEqual(Array.from(columns, (_, i) => (8 * i + 3) % 251));
  expect(last).toEqual(Array.from(columns, (_, i) => (8 * i + 7) % 241));
  expect(looks).toBeLessThan(200);
});
