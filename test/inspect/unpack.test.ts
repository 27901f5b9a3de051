import { spawnSync } from 'node:child_process';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { isBzImage, payloadOf, streamOf } from '#inspect/bzimage';
import { packingOf, type Packing } from '#inspect/packing';
import { unpack } from '#inspect/unpack';
import { LIMIT } from '#inspect/unpack/limit';
import { buildBzImage } from './kernel-image.mjs';
import { bzip2, lz4, lzma, xz, zstd } from './streams.mjs';

const random = (length: number): Uint8Array => {
  let state = 1;
  return Uint8Array.from(
    { length },
    () => ((state = (state * 1103515245 + 12345) & 0x7fffffff) >> 16) & 255,
  );
};
const PLAIN: readonly [string, Uint8Array][] = [
  ['nothing', new Uint8Array(0)],
  ['one byte', Uint8Array.of(7)],
  ['one byte a million times', new Uint8Array(1_000_000).fill(65)],
  ['noise', random(100_000)],
  [
    'both',
    Buffer.concat([
      random(70_000),
      new Uint8Array(70_000),
      random(70_000),
      Buffer.from('call '.repeat(20_000)),
    ]),
  ],
];

const PACKERS: Readonly<
  Record<Exclude<Packing, 'gzip'>, (plain: Uint8Array, ...more: string[]) => Uint8Array | null>
> = { bzip2, lz4, lzma, xz, zstd };
const pack = (packing: Packing, plain: Uint8Array, ...more: string[]): Uint8Array | null =>
  packing === 'gzip' ? gzipSync(plain) : PACKERS[packing](plain, ...more);

describe.each(['gzip', 'bzip2', 'lzma', 'xz', 'lz4', 'zstd'] as const)('%s', (packing) => {
  test.each(PLAIN)('%s comes back, alone and out of a bzImage', async (_, plain) => {
    const packed = pack(packing, plain);
    // Without its program there is nothing to unpack; the CI image has all of them.
    if (!packed)
      return expect.soft(packed, `${packing}: no program to pack with, not tested`).toBeNull();
    expect(packingOf(packed)).toBe(packing);
    expect(Buffer.compare(await unpack(packed, packing, 'x'), plain)).toBe(0);
    const image = buildBzImage(packed, plain.length, { trailer: packing !== 'gzip' });
    expect(isBzImage(image)).toBe(true);
    const payload = payloadOf(image, 'x');
    expect(payload.size).toBe(plain.length);
    expect(
      Buffer.compare(await unpack(streamOf(payload, packing), packing, 'x', payload.size), plain),
    ).toBe(0);
  });

  test('a size that is not the stated one is refused, and so is half of it', async () => {
    const size = PLAIN[4]![1].length;
    // From a pipe zstd cannot state the size in the frame, and nobody can then hold the other one
    // against it.
    const packed = pack(
      packing,
      PLAIN[4]![1],
      ...(packing === 'zstd' ? [`--stream-size=${size}`] : []),
    );
    if (!packed) return;
    for (const wrong of [size - 1, size + 1])
      await expect(unpack(packed, packing, 'x', wrong)).rejects.toMatchObject({
        code: 'bad-packing',
        at: 'x',
      });
    await expect(
      unpack(packed.subarray(0, packed.length >> 1), packing, 'x'),
    ).rejects.toMatchObject({ code: 'bad-packing' });
  });
  test('a claim beyond the limit is refused before anything is unpacked', async () => {
    await expect(unpack(Uint8Array.of(1, 2, 3), packing, 'x', LIMIT + 1)).rejects.toMatchObject({
      code: 'bad-packing',
    });
  });
});

describe('a bzImage that lies', () => {
  const stream = gzipSync('kernel');
  test.each([
    ['is older than protocol 2.08', buildBzImage(stream, 6, { version: 0x207 })],
    ['ends before its payload', buildBzImage(stream, 6).subarray(0, 2700)],
  ])('%s', (_, image) => {
    expect(() => payloadOf(image, 'x')).toThrow(expect.objectContaining({ code: 'bad-image' }));
  });
  test('no sectors at all stands for four', () => {
    expect(payloadOf(buildBzImage(stream, 6, { sectors: 0 }), 'x').bytes.length).toBe(
      stream.length + 4,
    );
  });
  test('a first sector alone is none', () => {
    expect(isBzImage(new Uint8Array(512))).toBe(false);
    expect(isBzImage(new Uint8Array(4096))).toBe(false);
  });
});

describe('streams that ask for more than they hold', () => {
  const frame = (...bytes: number[]): Uint8Array => Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, ...bytes);
  test.each([
    ['a zstd window of 2 TiB', frame(0x00, 0xf8, 1, 0, 0)],
    ['a zstd content size of 4 GiB', frame(0xa0, 0xff, 0xff, 0xff, 0xff, 1, 0, 0)],
    ['a zstd frame cut short', frame(0x00)],
    [
      'zstd blocks of one repeated byte, 128 KiB each',
      frame(
        0x00,
        0x58,
        ...Array.from({ length: 4000 }, (_, i) => [
          0x02 | (i === 3999 ? 1 : 0),
          0x00,
          0x10,
          65,
        ]).flat(),
      ),
    ],
  ])('%s', async (_, bytes) => {
    await expect(unpack(bytes, 'zstd', 'x')).rejects.toMatchObject({ code: 'bad-packing' });
  });
  test.each([
    ['reaches before its beginning', [0x10, 65, 9, 0]],
    ['reaches zero bytes back', [0x10, 65, 0, 0]],
    ['has literals beyond its end', [0xf0, 255, 255, 1]],
    ['ends in an offset', [0x10, 65, 1]],
  ])('an lz4 block that %s', async (_, block) => {
    await expect(
      unpack(Uint8Array.of(2, 0x21, 0x4c, 0x18, block.length, 0, 0, 0, ...block), 'lz4', 'x'),
    ).rejects.toMatchObject({ code: 'bad-packing' });
  });
  test('an lzma dictionary of 3 GiB', async () => {
    await expect(
      unpack(
        Uint8Array.of(0x5d, 0, 0, 0, 0xc0, ...Array<number>(8).fill(0xff), 0, 1, 2, 3, 4),
        'lzma',
        'x',
      ),
    ).rejects.toMatchObject({ code: 'bad-packing' });
  });
});

describe('without the optional packages', () => {
  // In a child: a resolver that finds none of them, with and without the programs on the PATH.
  const child = (
    packing: Packing,
    packed: Uint8Array,
    path: string,
  ): { status: number | null; out: string } => {
    const script = `
      const Module = require('node:module'); const resolve = Module._resolveFilename;
      Module._resolveFilename = (name, ...rest) => { if (/^(fzstd|lzma-native|seek-bzip)$/.test(name)) throw Object.assign(new Error('Cannot find module ' + name), { code: 'MODULE_NOT_FOUND' }); return resolve(name, ...rest); };
      require('node:zlib').zstdDecompressSync = undefined;
      const chunks = []; process.stdin.on('data', (c) => chunks.push(c)).on('end', async () => {
        const { unpack } = await import('#inspect/unpack');
        try { console.log((await unpack(Buffer.concat(chunks), ${JSON.stringify(packing)}, 'x')).length); } catch (e) { console.log(e.code, '|', e.hint); }
      });`;
    const done = spawnSync(process.execPath, ['-e', script], {
      input: packed,
      encoding: 'utf8',
      env: { PATH: path },
    });
    return { status: done.status, out: done.stdout.trim() };
  };
  test.each(['bzip2', 'xz', 'zstd'] as const)(
    '%s is unpacked by its program, or refused with what to install',
    (packing) => {
      const packed = pack(packing, PLAIN[4]![1]);
      if (!packed) return;
      expect(child(packing, packed, process.env['PATH']!)).toEqual({
        status: 0,
        out: String(PLAIN[4]![1].length),
      });
      expect(child(packing, packed, '/nowhere').out).toMatch(
        /^no-unpacker \| npm install \S+, or install \S+$/,
      );
    },
  );
  test('gzip and lz4 need neither', () => {
    for (const packing of ['gzip', 'lz4'] as const) {
      const packed = pack(packing, PLAIN[4]![1]);
      if (packed) expect(child(packing, packed, '/nowhere').out).toBe(String(PLAIN[4]![1].length));
    }
  });
});
