// A small file that unpacks to gigabytes stops a scan of a directory, if it is let. Each bomb is
// made of 8 MiB of zeros, packed once and put behind itself until it stands for 2 GiB (a stream of
// the old lzma cannot be; it stands for 96 MiB). It is unpacked in a process of its own, whose
// largest memory and CPU time are held against the bounds.

import { spawnSync } from 'node:child_process';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { packingOf, type Packing } from '#inspect/packing';
import { unpack } from '#inspect/unpack';
import { LONG, more } from '../more.js';
import { bzip2, lz4, lzma, xz, zstd } from './streams.mjs';

const SECONDS = 5;
const MEGABYTES = 600;
const MIB = 1 << 20;
const zeros = new Uint8Array(8 * MIB);

interface Outcome {
  readonly said: string;
  readonly seconds: number;
  readonly megabytes: number;
}

function inChild(body: string, input: Uint8Array): Outcome {
  const script = `
    import { readFileSync } from 'node:fs';
    const input = readFileSync(0);
    let said;
    try { said = String((await (${body})(input)).length); } catch (e) { said = e.code + ': ' + e.message; }
    const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
    console.log(JSON.stringify({ said, seconds: (userCPUTime + systemCPUTime) / 1e6, megabytes: maxRSS / 1024 }));`;
  const done = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    input,
    encoding: 'utf8',
  });
  if (done.status !== 0) throw new Error(done.stderr);
  return JSON.parse(done.stdout) as Outcome;
}

const unpacking = (packing: Packing): string =>
  `async (bytes) => (await import('#inspect/unpack')).unpack(bytes, '${packing}', 'x')`;

const times = (stream: Uint8Array | null, count: number): Uint8Array | null =>
  stream && Buffer.concat(Array.from({ length: count }, () => stream));

/** zstd's blocks are walked before any is unpacked; this one is honest about none of them. */
function lyingZstd(): Uint8Array {
  // A single segment that states 100 bytes, then blocks of 128 KiB of one byte.
  const block = (last: number): number[] => [0x02 | last, 0x00, 0x10, 65];
  const blocks = Array.from({ length: 16_384 }, (_, i) => block(i === 16_383 ? 1 : 0));
  return Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x20, 100, ...blocks.flat());
}

/** Without its footer the sizes in the index cannot be had. */
const withoutFooter = (stream: Uint8Array | null): Uint8Array | null =>
  stream && stream.subarray(0, stream.length - 2);

function lyingGzip(): Uint8Array {
  const bytes = Buffer.from(times(gzipSync(zeros, { level: 1 }), 256)!);
  bytes.writeUInt32LE(1, bytes.length - 4);
  return bytes;
}

const BOMBS: readonly (readonly [string, Packing, () => Uint8Array | null])[] = [
  ['gzip that states one byte', 'gzip', lyingGzip],
  ['xz', 'xz', () => times(xz(zeros, '-0'), 256)],
  ['zstd that states 100 bytes', 'zstd', lyingZstd],
  ...more<(readonly [string, Packing, () => Uint8Array | null])[]>(
    ['gzip', 'gzip', () => times(gzipSync(zeros, { level: 1 }), 256)],
    ['xz without its footer', 'xz', () => withoutFooter(times(xz(zeros, '-0'), 256))],
    ['lzma', 'lzma', () => lzma(new Uint8Array(96 * MIB), '-0')],
    ['zstd', 'zstd', () => times(zstd(zeros, '-1'), 256)],
    ['bzip2', 'bzip2', () => times(bzip2(zeros), 40)],
    ['lz4', 'lz4', () => times(lz4(zeros, '-1'), 256)],
  ),
];

test.each(BOMBS)(
  `a bomb of %s is refused within ${SECONDS} s and ${MEGABYTES} MB`,
  (_what, packing, make) => {
    const bomb = make();
    if (!bomb) return expect.soft(bomb, `${packing}: no program to pack with`).toBeNull();
    expect(packingOf(bomb)).toBe(packing);
    expect(bomb.length).toBeLessThan(10 * MIB);
    const { said, seconds, megabytes } = inChild(unpacking(packing), bomb);
    expect(said).toMatch(/^bad-packing: /);
    expect(seconds).toBeLessThan(SECONDS);
    expect(megabytes).toBeLessThan(MEGABYTES);
  },
  120_000,
);

if (LONG)
  test('and would be seen if it were not', () => {
    const bomb = times(gzipSync(zeros, { level: 1 }), 100)!;
    const { said, megabytes } = inChild(
      `async (bytes) => (await import('node:zlib')).gunzipSync(bytes, { chunkSize: 2 ** 20 })`,
      bomb,
    );
    expect(said).toBe(String(100 * 8 * MIB));
    expect(megabytes).toBeGreaterThan(MEGABYTES);
  });

test('thousands of bzip2 blocks of one byte are refused before any is unpacked', async () => {
  const one = bzip2(Uint8Array.of(7));
  if (!one) return;
  await expect(unpack(times(one, 5_000)!, 'bzip2', 'x')).rejects.toMatchObject({
    code: 'bad-packing',
    message: expect.stringMatching(/more than \d+ blocks/),
  });
  expect(await unpack(times(one, 50)!, 'bzip2', 'x')).toEqual(new Uint8Array(50).fill(7));
});

if (LONG)
  test('a zstd block whose sequences never end is given up', () => {
    // One compressed block: no literals, 98,303 sequences whose three tables are one symbol each:
    // no literal, offset code 0 and the longest match, with no bits behind it to read.
    const block = [0x00, 0xff, 0xff, 0xff, 0x54, 0, 0, 52, 0x01];
    const header = (block.length << 3) | (2 << 1) | 1;
    const frame = Uint8Array.of(
      0x28,
      0xb5,
      0x2f,
      0xfd,
      0x00,
      0x58,
      header & 255,
      header >> 8,
      0,
      ...block,
    );
    const { said, seconds } = inChild(unpacking('zstd'), frame);
    // Where Node has zstd of its own, that one sees at once what is wrong.
    expect(said).toMatch(/^bad-packing: .*(took more than|does not unpack)/);
    expect(seconds).toBeLessThan(SECONDS);
  });

test('what pzstd writes, with skippable frames before the others, is unpacked', async () => {
  const skip = Uint8Array.of(0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4);
  const plain = Buffer.from('a module '.repeat(1000));
  const packed = zstd(plain);
  if (!packed) return;
  const file = Buffer.concat([skip, packed, skip, packed]);
  expect(packingOf(file)).toBe('zstd');
  expect(Buffer.from(await unpack(file, 'zstd', 'x')).equals(Buffer.concat([plain, plain]))).toBe(
    true,
  );
});

test('a zstd frame that states another size than it holds is refused', async () => {
  const plain = Buffer.from('a module '.repeat(1000));
  const packed = zstd(plain, `--stream-size=${plain.length}`);
  if (!packed) return;
  const lying = Buffer.from(packed);
  // Two bytes of content size, less 256, behind magic and flags, where the segment is single.
  expect(lying[4]! >> 5).toBe(0b011);
  lying.writeUInt16LE(lying.readUInt16LE(5) - 1, 5);
  await expect(unpack(lying, 'zstd', 'x')).rejects.toMatchObject({ code: 'bad-packing' });
});
