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
