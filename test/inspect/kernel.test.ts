import { describe, expect, test } from 'vitest';
import { readElf } from '#elf/read';
import { inspectInput } from '#inspect/inspect';
import { branchesTo, findKernelCalls, keyTarget } from '#inspect/kernel-table';
import { mistaken } from '../mistake/mistake.js';
import { buildKernel } from './kernel-image.mjs';

describe.each(['none', 'SCT', 'ud1'] as const)('trampolines with signature %s', (signature) => {
  const built = buildKernel({ signature, keys: 7, sites: 40, kallsyms: null });
  const elf = readElf(built.bytes);
  const calls = findKernelCalls(elf);

  test('the table is found without a symbol, a relocation or a section header', () => {
    expect(elf.sections).toEqual([]);
    expect(calls.sites.map(({ at, kind }) => ({ at, kind }))).toEqual(
      built.sites.map(({ at, kind }) => ({ at, kind })),
    );
    expect(
      calls.sites.every(
        (s) =>
          (s.flags & 1) === (s.kind === 'call' ? 0 : 1) && s.length === (s.kind === 'jcc' ? 6 : 5),
      ),
    ).toBe(true);
  });
  test('each trampoline belongs to one key and knows its target', () => {
    const used = new Set(calls.sites.map((s) => s.trampoline));
    expect(used.size).toBe(new Set(calls.sites.map((s) => s.key)).size);
    for (const t of calls.trampolines)
      expect(t.target).toBe(built.trampolines.find((b) => b.at === t.at)!.target);
    for (const s of calls.sites)
      expect(keyTarget(elf, s.key)).toBe(
        calls.trampolines.find((t) => t.at === s.trampoline)!.target,
      );
  });
  test('branches in the text are the same sites, found the other way round', () => {
    expect(branchesTo(elf, calls.trampolines)).toEqual(
      built.sites.map((s) => s.at).sort((a, b) => a - b),
    );
  });
  if (signature !== 'none') {
    test('a trampoline that nobody calls is found too', () => {
      expect(calls.trampolines.map((t) => t.at)).toEqual(built.trampolines.map((t) => t.at));
    });
  }
});

describe('what is no table', () => {
  test('a kernel without one has trampolines all the same', () => {
    for (const signature of ['SCT', 'ud1'] as const) {
      const built = buildKernel({ signature, table: false, kallsyms: null });
      const calls = findKernelCalls(readElf(built.bytes));
      expect(calls.table).toBeNull();
      expect(calls.sites).toEqual([]);
      expect(calls.trampolines.length).toBe(built.trampolines.length);
    }
  });
  test('an entry that leads into the middle of nothing ends the table', () => {
    const built = buildKernel({ sites: 20, kallsyms: null });
    const elf = readElf(built.bytes);
    const at = elf.fileOffset(findKernelCalls(elf).table!);
    const bytes = built.bytes.slice();
    bytes[at + 8 * 12]! += 1; // the thirteenth site now begins at its own displacement
    const found = findKernelCalls(readElf(bytes));
    expect(found.sites.map((s) => s.at)).toEqual(built.sites.slice(0, 12).map((s) => s.at));
  });
  test('a trampoline that would go with two keys is a coincidence', () => {
    const built = buildKernel({ sites: 8, kallsyms: null });
    const elf = readElf(built.bytes);
    const at = elf.fileOffset(findKernelCalls(elf).table!);
    const bytes = built.bytes.slice();
    bytes[at + 4]! ^= 16; // the first entry's key becomes its neighbour, which another trampoline has
    expect(findKernelCalls(readElf(bytes)).sites.length).toBeLessThan(8);
  });

  describe('a return with bytes like a signature behind it', () => {
    const built = buildKernel({ signature: 'SCT', sites: 40, kallsyms: null });
    const bytes = Buffer.from(built.bytes);
    // In the filling behind the last function, where nothing leads.
    const room = bytes.lastIndexOf(Buffer.alloc(8, 0xcc));
    bytes.set([0xc3, 0xcc, 0x90, 0x90, 0x90, 0x53, 0x43, 0x54], room - (room % 4));
    const names = (find: typeof findKernelCalls): number[] =>
      find(readElf(bytes)).trampolines.map((t) => t.at);

    test('is no trampoline: it lies apart from them', () => {
      expect(names(findKernelCalls)).toEqual(built.trampolines.map((t) => t.at));
    });
    test('would be taken for one by its signature alone', async () => {
      const { findKernelCalls: find } = await mistaken<{ findKernelCalls: typeof findKernelCalls }>(
        {
          file: 'inspect/kernel-table.js',
          edits: [['return runAround(found, used);', 'return found;']],
        },
      );
      expect(names(find).length).toBeGreaterThan(built.trampolines.length);
    });
  });
});

test('a site at the very end of what is freed after boot is not freed', async () => {
  const init = async (initEndsAtSite: boolean): Promise<boolean | undefined> => {
    const { bytes } = buildKernel({ initEndsAtSite, kallsyms: { symbols: 20 } });
    const [facts] = await inspectInput({ path: 'x', bytes });
    return facts?.sites.at(-1)?.init;
  };
  expect(await init(false)).toBe(true);
  expect(await init(true)).toBe(false);
});
