import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Fault } from '#base/fault';
import { Held } from '#inspect/live/bytes';
import { inspectDump } from '#inspect/live/inspect';
import { unpackLzo } from '#inspect/unpack/lzo';
import { unpackSnappy } from '#inspect/unpack/snappy';
import { LONG } from '../more.js';
import { buildMemory, coreOffset, elfCore, flattened, kdump } from './live/core.mjs';
import { lzo, snappy } from './pages.mjs';

const memory = buildMemory();
const read = (bytes: Uint8Array) => inspectDump(new Held(bytes), 'dump');
const whole = read(elfCore(memory));

describe('one kernel in every kind of dump', () => {
  test.each([
    [
      'an ELF core without a note: VMCOREINFO is found in the memory',
      elfCore(memory, { note: false }),
      'an ELF core',
    ],
    ['a kdump packed by zlib', kdump(memory), 'a kdump'],
    ['a kdump packed by lzo', kdump(memory, { flags: 2, pack: lzo }), 'a kdump'],
    ['a kdump packed by snappy', kdump(memory, { flags: 4, pack: snappy }), 'a kdump'],
    ['a kdump of plain pages', kdump(memory, { flags: 0 }), 'a kdump'],
    [
      'a flattened kdump, of which a block was written twice',
      flattened(kdump(memory)),
      'a flattened kdump',
    ],
    ['a flattened kdump in odd pieces', flattened(kdump(memory), 777), 'a flattened kdump'],
    [
      'a flattened kdump with holes where it has zeros, as makedumpfile writes it',
      flattened(kdump(memory), 64, true),
      'a flattened kdump',
    ],
  ])('%s', (_, bytes, source) => {
    expect(read(bytes)).toEqual({ ...whole, kernel: { ...whole.kernel, source } });
  });
  test('page tables of five levels', () => {
    expect(read(elfCore(buildMemory({ levels: 5 })))).toEqual(whole);
  });
  test('page tables of encrypted memory', () => {
    expect(read(elfCore(buildMemory({ encrypted: 2 ** 47 })))).toEqual(whole);
  });
});

/** Noise, and three bytes again 2500 bytes behind: lzo has an instruction of its own for that. */
const FAR = Array.from(
  { length: 3000 },
  (_, i) => (Math.imul(i * i * i + 7 * i, 0x9e3779b1) >>> 19) & 255,
);
FAR.splice(2600, 3, ...FAR.slice(100, 103));

describe.each([
  ['lzo', lzo, unpackLzo],
  ['snappy', snappy, unpackSnappy],
] as const)('%s', (_, pack, unpack) => {
  test('gives back what was packed', () => {
    const bytes = fc.uint8Array({ maxLength: 6000 });
    // Of few values, and in repetitions: else there are no matches.
    const alike = fc
      .array(fc.tuple(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 1, max: 40 })))
      .map((runs) => runs.flatMap(([value, n]) => Array.from({ length: n }, () => value)));
    const twice = fc.tuple(bytes, bytes).map(([a, b]) => [...a, ...b, ...a]);
    fc.assert(
      fc.property(fc.oneof(bytes, alike, twice), (plain) => {
        const page = Buffer.from(plain);
        expect(page.equals(unpack(pack(page), page.length))).toBe(true);
      }),
      { numRuns: LONG ? 5000 : 60, examples: [[FAR]] },
    );
  });
  test('ends in an answer of at most a page, or in a fault, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        try {
          expect(unpack(bytes, 4096).length).toBeLessThanOrEqual(4096);
        } catch (error) {
          if (!(error instanceof Fault)) throw error;
          expect(error.code).toBe('bad-packing');
        }
      }),
      { numRuns: LONG ? 50_000 : 300 },
    );
  });
});

describe('what is said of a kernel', () => {
  test('its sites, keys and trampolines agree', () => {
    expect(whole.drift).toEqual([]);
    expect(whole.underWay).toBeNull();
    expect(whole.counts).toEqual({ sites: 15, init: 1, branches: 6, initBranches: 1 });
    expect(whole.keys.map(({ name, now, sites }) => [name, now, sites])).toEqual([
      ['called', 'first_target', 5],
      ['empty', null, 3],
      ['lsm_static_call_file_open_0', 'first_target', 1],
      ['lsm_static_call_file_open_1', 'second_target', 1],
      ['toy', 'toy_target [toy]', 1],
      ['tp_func_event', 'probe_event', 2],
      ['zero', '__static_call_return0', 2],
    ]);
  });
  test('a key and its target may belong to a module', () => {
    expect(whole.keys.find(({ name }) => name === 'toy')?.module).toBe('toy');
    expect(whole.modules.map(({ name, sites }) => [name, sites])).toEqual([['toy', 2]]);
  });
  test('its static keys are on or off, and their branches agree', () => {
    expect(whole.switches.map(({ name, on, branches }) => [name, on, branches])).toEqual([
      ['switch_off', false, 2],
      ['switch_on', true, 4],
    ]);
  });
  test('the probes of a tracepoint are read', () => {
    expect(whole.keys.find(({ name }) => name === 'tp_func_event')?.probes).toEqual([
      'probe_event',
    ]);
  });
  test('a return without the thunk that others use is told apart from drift', () => {
    expect(whole.bareReturns.map(({ place, key }) => [place, key])).toEqual([
      ['caller_of_empty+0x10', 'empty'],
    ]);
  });
  test('a kernel without BTF is read without its modules, and that is said', () => {
    const { modules, remarks, counts, drift } = read(elfCore(buildMemory({ btf: false })));
    expect({ modules, counts, drift }).toEqual({
      modules: [],
      counts: { sites: 13, init: 1, branches: 5, initBranches: 1 },
      drift: [],
    });
    expect(remarks).toHaveLength(1);
  });
});

/** The dump after changes of words and bytes at addresses. */
function changed(...changes: (readonly [at: number, value: bigint | readonly number[]])[]): Buffer {
  const core = elfCore(memory);
  for (const [at, value] of changes) {
    const offset = coreOffset(memory, core, at);
    if (typeof value === 'bigint') core.writeBigInt64LE(BigInt.asIntN(64, value), offset);
    else core.set(value, offset);
  }
  return core;
}
const rows = (bytes: Buffer) =>
  read(bytes).drift.map(({ kind, place, stands, says }) => [kind, place, stands, says]);
const site = (i: number): number => memory.sites[i]!.at;
const address = (name: string): number => memory.names.get(name)!;
/** The displacement of a branch whose opcode has one byte. */
function displaced(at: number, target: number): readonly [number, readonly number[]] {
  const rel = target - (at + 5);
  return [at + 1, [rel, rel >> 8, rel >> 16, rel >> 24].map((byte) => byte & 255)];
}
const empty = read(changed());

describe('a change of the memory gives exactly its rows', () => {
  test('none gives none', () => {
    expect(empty.drift).toEqual([]);
  });
  test("a site's displacement", () => {
    expect(rows(changed(displaced(site(1), address('second_target'))))).toEqual([
      ['site', 'caller_of_called+0x10', 'call second_target', 'call first_target'],
    ]);
  });
  test("a trampoline's displacement", () => {
    const at = memory.trampoline('called');
    expect(rows(changed(displaced(at, address('second_target'))))).toEqual([
      ['trampoline', '__SCT__called', 'jmp second_target', 'jmp first_target'],
    ]);
  });
  test("a key's function: its trampoline and all of its sites", () => {
    const key = memory.keys.get('tp_func_event')!;
    const found = rows(changed([key, BigInt(address('first_target'))]));
    expect(found).toEqual(
      [
        ['trampoline', '__SCT__tp_func_event', 'jmp probe_event', 'jmp first_target'],
        ['site', 'caller_of_tp_func_event', 'call probe_event', 'call first_target'],
        ['site', 'toy_init+0x40 [toy]', 'call probe_event', 'call first_target'],
      ].sort(
        (a, b) => (a[1]!.startsWith('caller') ? -1 : 0) - (b[1]!.startsWith('caller') ? -1 : 0),
      ),
    );
  });
  test('a function outside the kernel', () => {
    const key = memory.keys.get('lsm_static_call_file_open_0')!;
    const found = rows(changed([key, -0x3000_0000n]));
    expect(found).toContainEqual([
      'outside',
      '__SCK__lsm_static_call_file_open_0',
      '0xffffffffd0000000',
      "a function in the kernel's text or in a module's",
    ]);
    expect(found).toHaveLength(3);
  });
  test('a foreign trap byte', () => {
    expect(rows(changed([site(0), [0xcc]]))).toEqual([
      ['foreign int3', 'caller_of_called', 'int3', 'call first_target'],
    ]);
  });
  test('another instruction', () => {
    expect(rows(changed([site(0), [0x90, 0x90, 0x90, 0x90, 0x90]]))).toEqual([
      ['site', 'caller_of_called', 'other bytes', 'call first_target'],
    ]);
  });
  test('a call where a jump belongs leads back behind it', () => {
    expect(rows(changed([site(2), [0xe8]]))).toEqual([
      ['site', 'caller_of_called+0x20', 'call first_target', 'jmp first_target'],
    ]);
  });
  test('an entry of the table that leads nowhere', () => {
    const found = read(changed([memory.table, [0, 0, 0, 0x40]])).drift;
    expect(found.map(({ kind, place }) => [kind, place])).toEqual([
      ['table', 'the table of sites of vmlinux'],
    ]);
  });
  test('a static key: all of its branches, but those of code that is freed', () => {
    expect(rows(changed([memory.switches.get('switch_on')!, [0]]))).toEqual([
      ['branch', 'brancher', 'jmp brancher+0x20', 'nop'],
      ['branch', 'brancher+0x40', 'nop', 'jmp brancher+0x60'],
      ['branch', 'toy_init+0x60 [toy]', 'jmp __SCT__toy [toy]', 'nop'],
    ]);
  });
  test('a key that is being turned on counts as on', () => {
    expect(rows(changed([memory.switches.get('switch_on')!, [255, 255, 255, 255]]))).toEqual([]);
  });
  test('a branch that jumps elsewhere, a trap byte and other bytes', () => {
    const { at } = memory.branches[0]!;
    const becomes = (...bytes: number[]) => rows(changed([at, bytes]));
    const says = 'jmp brancher+0x20';
    expect(becomes(0xe9, 0x2b)).toEqual([['branch', 'brancher', 'jmp brancher+0x30', says]]);
    expect(becomes(0xcc)).toEqual([['foreign int3', 'brancher', 'int3', says]]);
    expect(becomes(0x90)).toEqual([['branch', 'brancher', 'other bytes', says]]);
  });
  test('an entry of the table of branches that leads to no text, or to no key', () => {
    const found = (at: number) =>
      read(changed([at, [0, 0, 0, 0x40]])).drift.map(({ place, stands }) => [place, stands]);
    const place = 'the table of branches of vmlinux';
    expect(found(memory.jumpTable)).toEqual([
      [place, expect.stringMatching(/^an entry that leads to 0x\w+, which is no text$/)],
    ]);
    expect(found(memory.jumpTable + 8)).toEqual([
      [place, expect.stringMatching(/^an entry that leads to 0x\w+, which is no key$/)],
    ]);
  });
  test('a module that is taken off the list', () => {
    const found = read(changed([memory.head, BigInt(memory.head)])).drift;
    expect(found).toMatchObject([
      { kind: 'unlisted module', key: 'tp_func_event', place: 'struct module toy' },
    ]);
  });
});

describe('an update under way', () => {
  const key = memory.keys.get('called')!;
  const target = address('second_target');
  /** As a stop in the middle finds it: the trampoline and one site are new, one has its trap. */
  const half = [
    [key, BigInt(target)],
    displaced(memory.trampoline('called'), target),
    displaced(site(0), target),
    [site(1), [0xcc]],
  ] as const;
  const held = [memory.mutex, 0x1234_5678n] as const;

  test('is told from drift while the lock is held', () => {
    const { drift, underWay } = read(changed(...half, held));
    expect(drift).toEqual([]);
    expect(underWay).toEqual({ key: 'called', old: 2, new: 1, trap: 1 });
  });
  test('is drift where no lock is held', () => {
    const { drift, underWay } = read(changed(...half));
    expect(underWay).toBeNull();
    expect(drift).toHaveLength(3);
  });
  test('of a static key is told from drift while its lock is held', () => {
    const changes = [
      [memory.switches.get('switch_off')!, [1]],
      [memory.branches[3]!.at, [0xcc]],
    ] as const;
    const { drift, underWay } = read(changed(...changes, [memory.jumpMutex, 0x1234_5678n]));
    expect(drift).toEqual([]);
    expect(underWay).toEqual({ key: 'switch_off', old: 1, new: 0, trap: 1 });
    expect(read(changed(...changes)).drift).toHaveLength(2);
    // Other bytes are no part of an update.
    const other = [memory.branches[4]!.at, [0x90]] as const;
    const held = [memory.jumpMutex, 0x1234_5678n] as const;
    expect(read(changed(...changes, other, held)).drift).toHaveLength(2);
  });
  test.each([
    ['of two keys', displaced(memory.trampoline('zero'), target)],
    ['with a site that leads to a third function', displaced(site(2), address('probe_event'))],
    ['with two traps', [site(2), [0xcc]] as const],
    ['with other bytes', [site(2), [0x90, 0x90, 0x90, 0x90, 0x90]] as const],
  ])('is none %s', (_, change) => {
    const { drift, underWay } = read(changed(...half, held, change));
    expect(underWay).toBeNull();
    expect(drift.length).toBeGreaterThan(2);
  });
});

function refusal(bytes: Buffer): string {
  try {
    read(bytes);
  } catch (error) {
    if (error instanceof Fault) return error.code;
    throw error;
  }
  return 'accepted';
}
/** Every entry of the topmost table leads to that table. */
function looped(): Buffer {
  const core = elfCore(memory);
  const at = Number(core.readBigUInt64LE(64 + 56 + 8));
  for (let i = 0; i < 512; i++) core.writeBigUInt64LE(BigInt(memory.tables) + 1n, at + 8 * i);
  return core;
}

describe('a dump that cannot be read is refused with what to do', () => {
  const core = elfCore(memory);
  const info = memory.info as string;
  test.each([
    [
      'it is no dump',
      Buffer.from('hello, this is text and longer than a header of sixty-four bytes'),
      'not-a-core',
    ],
    ['it is empty', Buffer.alloc(0), 'not-a-core'],
    ['another machine', elfCore(memory, { machine: 183 }), 'not-a-core'],
    ['a core of a process: no physical addresses', elfCore({ ...memory, parts: [] }), 'not-a-core'],
    ['cut within its table of segments', core.subarray(0, 100), 'bad-core'],
    ['cut in the middle', core.subarray(0, 60_000), 'bad-core'],
    [
      'no VMCOREINFO',
      elfCore({ ...memory, parts: memory.parts.slice(0, 1) }, { note: false }),
      'no-vmcoreinfo',
    ],
    [
      'a kernel before 6.0: no kallsyms in VMCOREINFO',
      elfCore({ ...memory, info: info.replaceAll('kallsyms_', 'other_') }),
      'bad-kernel',
    ],
    [
      'a page that is not there',
      elfCore({ ...memory, parts: memory.parts.slice(0, 1) }),
      'page-missing',
    ],
    ['a kdump packed in no known way', kdump(memory, { flags: 64 }), 'unknown-packing'],
    ...(
      [
        [2, lzo],
        [4, snappy],
      ] as const
    ).map(
      ([flags, pack]) =>
        [
          `a kdump whose pages are cut, with flags ${flags}`,
          kdump(memory, { flags, pack: (page: Buffer) => pack(page).subarray(0, -4) }),
          'bad-core',
        ] as const,
    ),
    [
      'a kdump whose pages do not unpack',
      kdump(memory, { flags: 1, pack: (page: Buffer) => page.subarray(0, 100) }),
      'bad-core',
    ],
    ['a kdump that is cut', kdump(memory).subarray(0, 9000), 'bad-core'],
    ['a flattened kdump that is cut', flattened(kdump(memory)).subarray(0, 9000), 'bad-core'],
    ['a flattened file of something else', flattened(core), 'not-a-core'],
    ['a part of a split kdump', split(kdump(memory)), 'bad-core'],
    ['pages of another size', sized(kdump(memory)), 'bad-core'],
    [
      'modules that lead back into themselves',
      changed([memory.module! + 8, BigInt(memory.module! + 8)]),
      'bad-kernel',
    ],
    ['a count of sites of 2^31', changed([memory.module! + 264, [0, 0, 0, 0x80]]), 'bad-kernel'],
    ['2^31 symbols', changed([memory.kallsyms.num_syms, [0, 0, 0, 0x80]]), 'bad-kernel'],
    ['BTF that is none', changed([memory.btf, [0, 0]]), 'bad-kernel'],
    [
      'BTF whose types do not end',
      changed([memory.btf + 12, [0xff, 0xff, 0xff, 0x7f]]),
      'bad-kernel',
    ],
    ['a page table that leads back to itself', looped(), 'bad-kernel'],
  ])('%s', (_, bytes, code) => {
    expect(refusal(bytes)).toBe(code);
  });
});

function split(bytes: Buffer): Buffer {
  bytes.writeInt32LE(1, 4096 + 12);
  return bytes;
}
function sized(bytes: Buffer): Buffer {
  bytes.writeInt32LE(65_536, 428);
  return bytes;
}
