// The runtime by every compiler, linker and libc that is here, and under the sanitizers: calls
// (own.c) and static keys (switches.c).

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clang, Folder, gcc, must, tool } from '../build.js';
import { built, byHand, program, ran, WELL } from './programs.js';

const here = process.platform === 'linux' && process.arch === 'x64' && gcc !== null;
const sections = ['-ffunction-sections', '-fdata-sections'];
const collected = '-Wl,--gc-sections';
const linker = (name: string): readonly string[] => [`-fuse-ld=${name}`];

interface Row {
  readonly compiler: string | null;
  /** What must be here besides. */
  readonly needs?: string | null;
  readonly flags?: readonly string[];
  readonly link?: readonly string[];
  /** Lives that it cannot have. */
  readonly without?: string;
}

const ROWS: Readonly<Record<string, Row>> = {
  'gcc and ld': { compiler: gcc, flags: sections, link: [collected] },
  'gcc and gold': { compiler: gcc, needs: tool('ld.gold'), link: linker('gold') },
  'gcc and lld, sections collected': {
    compiler: gcc,
    needs: tool('ld.lld'),
    flags: sections,
    link: [...linker('lld'), collected],
  },
  'gcc and mold': {
    compiler: gcc,
    needs: tool('mold'),
    flags: sections,
    link: [...linker('mold'), collected],
  },
  'gcc -static': { compiler: gcc, link: ['-static'] },
  'gcc -static-pie': { compiler: gcc, flags: ['-fPIE'], link: ['-static-pie'] },
  'gcc -no-pie': { compiler: gcc, flags: ['-fno-pie'], link: ['-no-pie'] },
  'gcc -fno-plt -O0': { compiler: gcc, flags: ['-fno-plt', '-O0'] },
  'gcc -fcf-protection': { compiler: gcc, flags: ['-fcf-protection=full'] },
  clang: { compiler: clang, flags: ['-fPIE'], link: ['-pie'] },
  'clang and lld': {
    compiler: clang,
    needs: tool('ld.lld'),
    flags: ['-fPIE', ...sections],
    link: ['-pie', ...linker('lld'), collected],
  },
  musl: { compiler: tool('musl-gcc') },
  'musl -static': { compiler: tool('musl-gcc'), link: ['-static'] },
  ASan: { compiler: gcc, flags: ['-fsanitize=address'] },
  UBSan: { compiler: gcc, flags: ['-fsanitize=undefined', '-fno-sanitize-recover'] },
  // It gives every handler a mask that blocks SIGTRAP, and updates are refused.
  TSan: { compiler: gcc, flags: ['-fsanitize=thread'], without: 'signals' },
};

describe.skipIf(!here)('a program with a runtime of its own', () => {
  let folder: Folder;
  beforeAll(() => void (folder = new Folder()));
  afterAll(() => folder[Symbol.dispose]());

  it.for(Object.entries(ROWS))('by %s', ([name, row], { skip }) => {
    if (row.compiler === null || row.needs === null) return skip('a tool is missing');
    const { compiler, flags = [], link = [] } = row;
    const how = { output: name.replaceAll(/\W+/g, '-'), compiler, flags, link };
    const path = byHand(folder, { ...how, source: program('own.c') });
    for (const life of ['update', 'refused', 'batch', 'forked', 'threads', 'signals'])
      if (life !== row.without) expect([life, ran(path, [life])]).toMatchObject([life, WELL]);
    const output = `${how.output}-switches`;
    const switches = byHand(folder, { ...how, output, source: program('switches.c') });
    expect(ran(switches, [])).toMatchObject(WELL);
  });

  it.for([
    ['gcc -flto', gcc, ['-flto']],
    ['clang -flto', clang, ['-flto', '-fuse-ld=lld']],
    ['clang -flto=thin', clang, ['-flto=thin', '-fuse-ld=lld']],
  ] as const)('by cc and %s', ([name, compiler, words], { skip }) => {
    if (compiler === null || (compiler !== gcc && tool('ld.lld') === null))
      return skip('a tool is missing');
    const output = name.replaceAll(/\W+/g, '-');
    const path = built(folder, output, [...words, program('own.c'), '-pthread'], compiler);
    for (const life of ['update', 'threads'])
      expect([life, ran(path, [life])]).toMatchObject([life, WELL]);
    const source = [...words, program('switches.c'), '-pthread'];
    expect(ran(built(folder, `${output}-switches`, source, compiler), [])).toMatchObject(WELL);
  });

  it.for([
    ['g++', gcc],
    ['clang++', clang],
  ])('in C++ by %s', ([plusplus, compiler = null], { skip }) => {
    if (compiler === null) return skip(`${plusplus} is missing`);
    const source = folder.write(
      `${plusplus}.cpp`,
      `#include <static_call.h>
namespace hooks {
int up(int a) { return a + 1; }
int down(int a) { return a - 1; }
DEFINE_STATIC_CALL(step, up);
STATIC_CALL_TARGET(step, down);
}
int main()
{
	using namespace hooks;
	const static_call_change change[] = {STATIC_CALL_CHANGE(step, &down)};
	if (static_call_update_batch(change, 1) != 0 || static_call(step)(1) != 0)
		return 1;
	return static_call_update(step, &up) != 0 || static_call(step)(1) != 2 ||
	       static_call_state(step) != STATIC_CALL_DIRECT;
}
`,
    );
    const output = `${plusplus}-program`;
    const path = byHand(folder, { source, output, compiler, flags: ['-fPIE'], link: ['-pie'] });
    expect(ran(path, [])).toMatchObject(WELL);
  });

  it('of a library that is unloaded leaves the program whole under ASan', () => {
    const asan = '-fsanitize=address';
    const own = built(folder, 'asan', [asan, program('own.c'), '-pthread', '-ldl']);
    const plugin = built(folder, 'asan.so', [asan, '-shared', '-fPIC', program('plugin.c')]);
    expect(ran(own, ['loaded', plugin])).toMatchObject(WELL);
  });

  it('serves a web server that is retargeted 200 times a second, from inside and from outside, through storms', () => {
    const command = ['examples/server/run.mjs', '--storm', '--together', '--json'];
    interface Part {
      readonly requests: number;
      readonly updates: number;
      readonly wrong: number;
      readonly dropped: number;
      readonly grown: Record<'kb' | 'maps' | 'files' | 'threads', number>;
    }
    const parts = JSON.parse(must(process.execPath, [...command, '--seconds', '20'])) as Part[];
    expect(parts).toHaveLength(2);
    for (const { requests, updates, wrong, dropped, grown } of parts) {
      expect(requests).toBeGreaterThan(0);
      expect(updates).toBeGreaterThan(0);
      expect({ wrong, dropped }).toEqual({ wrong: 0, dropped: 0 });
      // A thread or descriptor that stays for each worker that came would be 24 of them. Memory is
      // bounded generously: malloc gives threads that come and go arenas of their own.
      expect(grown.threads).toBeLessThan(12);
      expect(grown.files).toBeLessThan(24);
      expect(grown.maps).toBeLessThan(100);
      expect(grown.kb).toBeLessThan(50_000);
    }
  });
});
