import { expect, test } from 'vitest';
import { isFault } from '#base/fault';
import { MOST, readPieces } from '#inspect/files';

test('a pipe that does not end is refused at the bound, and read no further', () => {
  let given = 0;
  const pipe = (piece: Uint8Array): number => {
    if (given >= 2 * MOST) return 0;
    given += piece.length;
    return piece.length;
  };
  const read = readPieces(pipe);
  expect(isFault(read) && `${read.code}: ${read.message}`).toBe(
    `unreadable-file: it has more than ${MOST} bytes, the most that are read`,
  );
  expect(given).toBeLessThanOrEqual(MOST + (1 << 20));
});

test('a pipe that gives a little at a time is read to its end', () => {
  const text = Buffer.from('a few bytes at a time');
  let at = 0;
  const read = readPieces((piece) => {
    const got = text.subarray(at, at + 3);
    piece.set(got);
    at += got.length;
    return got.length;
  });
  expect(Buffer.from(read as Uint8Array).toString()).toBe(text.toString());
});
