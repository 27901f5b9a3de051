import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { readElf } from '#elf/read';
import { membersOf } from '#inspect/archive';
import { inspectInput } from '#inspect/inspect';
import { build, defineKey, gcc } from '../build.js';
import { buildBzImage, buildGzipImage, buildKernel } from './kernel-image.mjs';

const one = async (bytes: Uint8Array, path = 'x') => {
  const found = await inspectInput({ path, bytes });
  expect(found.length).toBe(1);
  return found[0]!;
};

describe('a kernel image as distributed', () => {
  const built = buildKernel({ keys: 6, sites: 30, kallsyms: { symbols: 300 } });

  test('every site has its place, function, key and flags', async () => {
    const facts = await one(buildGzipImage(built.bytes));
    expect(facts).toMatchObject({ kind: 'image', faults: [] });
    expect(
      facts.sites.map(({ address, function: f, key, kind, tail, init }) => ({
        at: address,
        function: f,
        key,
        kind,
        tail,
        init,
      })),
    ).toEqual(built.sites.map((s: { kind: string }) => ({ ...s, tail: s.kind !== 'call' })));
    expect(facts.sites.every((s) => s.keySymbol === `__SCK__${s.key}` && s.section === null)).toBe(
      true,
    );
  });
  test('what crosses a line is told, and which protocols accept it', async () => {
    const { sites } = await one(buildGzipImage(built.bytes));
    for (const s of sites) {
      const length = s.kind === 'jcc' ? 6 : 5;
      const offset = ((s.address! % 64) + 64) % 64;
      expect(s.crossesLine).toBe(offset + length > 64);
      // The last four bytes, whatever comes before them.
      expect(s.destinationCrossesLine).toBe(offset + length > 64 && offset + length - 4 < 64);
      // The store of a jcc is an exchange that holds the whole of it; every store keeps to a
      // quadword.
      const [from, to] =
        s.kind === 'jcc' ? [offset, offset + length] : [offset + length - 4, offset + length];
      expect(s.protocols).toEqual(
        Math.floor(from / 8) === Math.floor((to - 1) / 8)
          ? ['auto', 'int3', 'store']
          : ['auto', 'int3'],
      );
      expect(s.bytes.split(' ').length).toBe(length);
    }
    expect(new Set(sites.map((s) => s.destinationCrossesLine))).toEqual(new Set([true, false]));
  });
  test('a key has its sites, trampoline and initial target; one that nobody calls is a trampoline', async () => {
    const { keys, trampolines, kernel } = await one(buildGzipImage(built.bytes));
    expect(trampolines.map((t) => t.symbol)).toEqual(
      built.trampolines.map((t: { name: string }) => t.name),
    );
    expect(trampolines.filter((t) => t.sites === 0).map((t) => t.key)).toEqual(['tp_func_event_5']);
    expect(keys.length).toBe(5);
    for (const key of keys) {
      const t = built.trampolines.find((b: { name: string }) => b.name === `__SCT__${key.name}`)!;
      expect(key).toMatchObject({
        trampoline: t.at,
        target: t.target === null ? null : '__traceiter_some_event',
        targetKnown: true,
        sites: built.sites.filter((s: { key: string }) => s.key === key.name).length,
      });
    }
    expect(kernel).toMatchObject({ names: 'kallsyms', branches: { listed: 30, unlisted: 0 } });
  });
  test.each([{ symbols: 10 }, null])(
    'a key that is empty has no target, whichever way its trampoline returns (kallsyms: %j)',
    async (kallsyms) => {
      const shape = { keys: 6, sites: 30, kallsyms };
      const [plain, thunk] = [
        await one(buildKernel(shape).bytes),
        await one(buildKernel({ ...shape, thunk: true }).bytes),
      ];
      expect(plain.keys.filter((k) => k.target === null && k.targetKnown).length).toBe(2);
      expect(thunk.keys.map((k) => k.target)).toEqual(plain.keys.map((k) => k.target));
    },
  );
  test('a vmlinux with symbols says the same of itself', async () => {
    const other = buildKernel({ keys: 6, sites: 30, kallsyms: null, symtab: true });
    const facts = await one(other.bytes);
    expect(facts).toMatchObject({ kind: 'vmlinux', faults: [], kernel: { names: 'symtab' } });
    const image = await one(buildGzipImage(built.bytes));
    const bare = ({ section: _, offset: _o, ...rest }: (typeof facts.sites)[number]) => rest;
    expect(facts.sites.map(bare)).toEqual(image.sites.map(bare));
    expect(new Set(facts.sites.map((s) => s.section))).toEqual(new Set(['.text', '.init.text']));
    expect(facts.keys).toEqual(image.keys);
  });
  test('without kallsyms the sites are there, and keys have their addresses for names', async () => {
    const facts = await one(buildKernel({ keys: 3, sites: 9, kallsyms: null }).bytes);
    expect(facts.sites.length).toBe(9);
    expect(facts.keys.every((k) => k.name.startsWith('key_ffffffff81'))).toBe(true);
    expect(facts.faults).toMatchObject([{ code: 'bad-image' }]);
  });
  test('without KALLSYMS_ALL names come from the trampolines', async () => {
    const facts = await one(
      buildKernel({ kallsyms: { textOnly: true, addresses: 'base-relative' } }).bytes,
    );
    expect(facts.sites.every((s) => s.key.startsWith('tp_func_event_'))).toBe(true);
  });
  test('a program without trampolines in the kernel half is none', async () => {
    const { bytes } = buildKernel({ keys: 0, sites: 0, kallsyms: null });
    expect(await one(bytes)).toMatchObject({
      kind: null,
      faults: [{ code: 'bad-image', at: 'x' }],
    });
  });
  test.each([
    [
      'a payload of no known packing',
      buildBzImage(Buffer.from('LZO? never heard of it'), 5),
      'unknown-packing',
    ],
    [
      'a payload cut short',
      buildBzImage(gzipSync(built.bytes).subarray(0, 300), 5, { trailer: false }),
      'bad-packing',
    ],
    ['nothing', new Uint8Array(0), 'not-elf'],
    ['text', Buffer.from('hello'), 'not-elf'],
    ['gzip in gzip in gzip', gzipSync(gzipSync(gzipSync('x'))), 'not-elf'],
  ])('%s is refused by a fault', async (_, bytes, code) => {
    expect(await one(bytes)).toMatchObject({ kind: null, sites: [], faults: [{ code, at: 'x' }] });
  });
});

const SOURCE = `
int a(int x) { return x; }
${defineKey('blend', 'a')}
extern int __SCT__blend(int);
extern int __SCT__elsewhere(int);
__attribute__((noinline)) int user(int x) { return __SCT__blend(x) + 1; }
int tail(int x) { return __SCT__blend(x); }
int other(int x) { return __SCT__elsewhere(x) + 2; }
__attribute__((section(".init.text"))) int early(int x) { return __SCT__blend(x) + 3; }
`;

describe.skipIf(!gcc)('objects (skipped without gcc)', () => {
  const compiled = (...flags: string[]): Buffer => build(gcc!, '.c', SOURCE, ['-O2', ...flags]);

  test('a relocatable object', async () => {
    const facts = await one(compiled('-c'));
    expect(facts).toMatchObject({ kind: 'relocatable', faults: [] });
    expect(
      facts.sites
        .map((s) => [s.section, s.function, s.key, s.keySymbol, s.kind, s.tail, s.init, s.address])
        .sort(),
    ).toEqual([
      ['.init.text', 'early', 'blend', '__SCK__blend', 'call', false, true, null],
      ['.text', 'other', 'elsewhere', '__SCT__elsewhere', 'call', false, false, null],
      ['.text', 'tail', 'blend', '__SCK__blend', 'jmp', true, false, null],
      ['.text', 'user', 'blend', '__SCK__blend', 'call', false, false, null],
    ]);
    expect(facts.keys).toEqual([
      {
        name: 'blend',
        symbol: '__SCK__blend',
        trampoline: null,
        sites: 3,
        target: 'a',
        targetKnown: true,
      },
      {
        name: 'elsewhere',
        symbol: '__SCT__elsewhere',
        trampoline: null,
        sites: 1,
        target: null,
        targetKnown: false,
      },
    ]);
    expect(facts.trampolines).toMatchObject([
      { symbol: '__SCT__blend', section: '.static_call.text', offset: 0, address: null, sites: 3 },
    ]);
    // gcc aligns .text to sixteen bytes: where a line begins is decided later.
    expect(facts.sites.every((s) => !s.lineCertain)).toBe(true);
  });
  test('a shared object and a program, told apart', async () => {
    const shared = await one(compiled('-shared', '-fPIC', '-fvisibility=hidden'));
    expect(shared).toMatchObject({ kind: 'shared', faults: [] });
    expect(shared.sites.every((s) => s.lineCertain && s.address !== null)).toBe(true);
    const program = await one(
      build(
        gcc!,
        '.c',
        `${SOURCE} int __SCT__elsewhere(int x) { return x; } int main(void) { return user(1); }`,
        ['-O2', '-pie', '-fPIE'],
      ),
    );
    expect(program.kind).toBe('executable');
    for (const { sites } of [shared, program])
      expect(
        sites
          .filter((s) => s.key === 'blend')
          .map((s) => s.function)
          .sort(),
      ).toEqual(['early', 'tail', 'user']);
  });
  test('a packed object', async () => {
    expect((await one(gzipSync(compiled('-c')))).sites.length).toBe(4);
  });
  test('an object without keys has nothing to say, and no fault', async () => {
    expect(await one(build(gcc!, '.c', 'int f(void) { return 1; }', ['-c']))).toEqual({
      path: 'x',
      kind: 'relocatable',
      sites: [],
      keys: [],
      trampolines: [],
      faults: [],
    });
  });
  test('each member of a static library', async () => {
    const object = compiled('-c');
    const library = archive([
      ['short.o', object],
      ['a_name_longer_than_fifteen.o', object],
      ['note.txt', Buffer.from('no object')],
    ]);
    expect([...membersOf(library, 'l.a')].map((m) => m.name)).toEqual([
      'short.o',
      'a_name_longer_than_fifteen.o',
      'note.txt',
    ]);
    const found = await inspectInput({ path: 'l.a', bytes: library });
    expect(found.map((f) => [f.path, f.sites.length])).toEqual([
      ['l.a(short.o)', 4],
      ['l.a(a_name_longer_than_fifteen.o)', 4],
    ]);
    const cut = await inspectInput({
      path: 'l.a',
      bytes: library.subarray(0, library.length - object.length),
    });
    expect(cut.map((f) => f.faults.length)).toEqual([0, 1]);
  });
  test('a thin library is refused with what to give instead', async () => {
    expect(await one(Buffer.from('!<thin>\n'))).toMatchObject({
      kind: null,
      faults: [{ code: 'bad-elf' }],
    });
  });
  test('a module is an object that says so', async () => {
    const facts = await one(
      build(
        gcc!,
        '.c',
        `${SOURCE} const char license[] __attribute__((section(".modinfo"))) = "license=GPL";`,
        ['-c'],
      ),
    );
    expect(facts.kind).toBe('module');
    expect(readElf(compiled('-c')).section('.modinfo')).toBeUndefined();
  });
});

/** A static library as ar writes it: long names in a member of their own. */
function archive(members: readonly (readonly [string, Uint8Array])[]): Buffer {
  const names = members
    .filter(([name]) => name.length > 15)
    .map(([name]) => `${name}/\n`)
    .join('');
  const member = (label: string, bytes: Uint8Array): Buffer => {
    const header = `${label.padEnd(16)}${'0'.padEnd(12)}${'0'.padEnd(6)}${'0'.padEnd(6)}${'644'.padEnd(8)}${String(bytes.length).padEnd(10)}\`\n`;
    return Buffer.concat([Buffer.from(header), bytes, Buffer.alloc(bytes.length & 1, '\n')]);
  };
  const parts = members.map(([name, bytes]) =>
    member(name.length > 15 ? `/${names.indexOf(`${name}/`)}` : `${name}/`, bytes),
  );
  return Buffer.concat([
    Buffer.from('!<arch>\n'),
    member('/', Buffer.alloc(4)),
    member('//', Buffer.from(names)),
    ...parts,
  ]);
}
