// What compilers, options and linkers make of the same C and C++: annotated, accepted by the
// linker, and the table that a linker resolves equal to the sites that decoding finds in the
// result.

import { spawnSync } from 'node:child_process';
import { beforeEach, describe, expect, test } from 'vitest';
import { readElf } from '#elf/read';
import { annotate } from '#sites/annotate';
import { decodeSites, findSites } from '#sites/find';
import { build, clang, defineKey, Folder, gcc, must, tool } from '../build.js';
import { corpus } from '../corpus.js';
import { more } from '../more.js';
import { unchanged } from './layout.js';
import { objtool, sitesOf, tablesOf } from './referee.js';

const referee = corpus()?.objtool;
const readelf = tool('readelf');

const keys = `__attribute__((used)) int one(int x) { return x + 1; }\n${defineKey('a', 'one', 'hidden')}${defineKey('b', 'one', 'hidden')}`;
const body = `
int plain(int x) { return __SCT__a(x) + 1; }
int tail(int x) { return __SCT__b(x); }
__attribute__((cold)) int cold(int x) { return __SCT__a(x) - 1; }
int both(int x) { return x > 3 ? __SCT__a(x) + __SCT__b(x) : cold(x); }
`;
const c = keys + body;
/** Two of these in one program share the inline function, of which the linker keeps one. */
const cpp = (name: string): string => `
extern "C" int __SCT__a(int) __attribute__((visibility("hidden")));
extern "C" int __SCT__b(int) __attribute__((visibility("hidden")));
extern "C" char __SCK__a, __SCK__b;
void *keep_${name}[] = { &__SCK__a, &__SCK__b };
template <int N> struct Filter { __attribute__((noinline)) static int run(int x) { return __SCT__a(x) + N; } };
inline __attribute__((noinline)) int shared(int x) { return __SCT__b(x) * 2; }
int ${name}(int x) { return shared(x) + Filter<3>::run(x) + __SCT__a(x); }
`;

const variants: [string, string[]][] = [
  ...more<[string, string[]][]>(
    ['-O0', ['-O0']],
    ['-Os', ['-Os']],
    ['-fcf-protection', ['-O2', '-fcf-protection=full']],
    ['-g -gsplit-dwarf', ['-O2', '-g', '-gsplit-dwarf']],
  ),
  ['-O2 -fPIC', ['-O2', '-fPIC']],
  ['-ffunction-sections -fdata-sections', ['-O2', '-ffunction-sections', '-fdata-sections']],
  ['-g -gz', ['-O2', '-g', '-gz']],
  ['-mcmodel=kernel', ['-O2', '-mcmodel=kernel', '-fno-pic']],
];

function compile(
  compiler: string,
  extension: string,
  source: string,
  flags: readonly string[],
): Buffer {
  // Beside its source, for split debug information lands there.
  using folder = new Folder();
  folder.write(`in${extension}`, source);
  must(compiler, ['-c', ...flags, '-o', 'out.o', `in${extension}`], folder.path);
  return folder.read('out.o');
}

function accepted(bytes: Uint8Array): void {
  using folder = new Folder();
  folder.write('in.o', bytes);
  must('ld', ['-r', '-o', folder.file('out.o'), folder.file('in.o')]);
  if (!readelf) return;
  const read = spawnSync(readelf, ['-aW', folder.file('in.o')], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  expect([read.status, read.stderr]).toEqual([0, '']);
}

describe.each([
  ['gcc', gcc],
  ['clang', clang],
])('%s', (name, compiler) => {
  beforeEach(({ skip }) => skip(!compiler, `${name} is missing`));

  test.each(variants)('%s: as objtool, accepted, and nothing else changed', (_, flags) => {
    const bytes = compile(compiler!, '.c', c, flags);
    const out = annotate(readElf(bytes)).bytes!;
    expect(unchanged(bytes, out)).toEqual([]);
    accepted(out);
    const found = sitesOf(tablesOf(out));
    expect(found.length).toBeGreaterThanOrEqual(4);
    expect(found).toEqual(
      readElf(out) &&
        decodeSites(readElf(bytes)).map(
          (s) =>
            `${readElf(bytes).sections[s.section]!.name}+${s.at} ${s.keySymbol}${s.flags ? ' tail' : ''}`,
        ),
    );
    if (!referee) return;
    const theirs = objtool(referee, bytes, []);
    // What objtool says of frame pointers and the like is about other things; the table is there or
    // it is not.
    if (tablesOf(theirs.bytes).length > 0) expect(tablesOf(out)).toEqual(tablesOf(theirs.bytes));
    else expect(theirs.complaint).not.toBe('');
  });

  test('-mcmodel=large and calls through registers: no site, nothing written', () => {
    expect(annotate(readElf(compile(compiler!, '.c', c, ['-O2', '-mcmodel=large']))).outcome).toBe(
      'no-sites',
    );
  });

  test('-fno-plt: the linker makes direct calls of calls through the GOT, and the table still fits', () => {
    using folder = new Folder();
    const source = c.replaceAll('visibility("hidden")', 'visibility("default")');
    const bytes = annotate(
      readElf(
        compile(
          compiler!,
          '.c',
          `${source}\nint main(void) { return plain(1) + tail(2) + both(3); }`,
          ['-O1', '-fno-inline', '-fPIC', '-fno-plt'],
        ),
      ),
    ).bytes!;
    folder.write('in.o', bytes);
    must(compiler!, ['-o', folder.file('out'), folder.file('in.o')]);
    const linked = readElf(folder.read('out'));
    expect(linked.section('.static_call_sites')!.size / 8).toBe(findSites(linked).length);
    expect(new Set(findSites(linked).map((s) => s.at))).toEqual(
      new Set(decodeSites(linked).map((s) => s.at)),
    );
    expect(findSites(linked).some((s) => s.length === 6)).toBe(true);
  });

  test('C++: a shared inline function keeps one entry when the linker drops the other copy', () => {
    using folder = new Folder();
    folder.write('keys.o', annotate(readElf(compile(compiler!, '.c', c, ['-O2']))).bytes!);
    for (const part of ['p', 'q']) {
      const bytes = compile(compiler!, '.cc', cpp(part), ['-O2']);
      const out = annotate(readElf(bytes)).bytes!;
      expect(unchanged(bytes, out)).toEqual([]);
      expect(tablesOf(out).length).toBe(3);
      accepted(out);
      folder.write(`${part}.o`, out);
      if (!referee) continue;
      const theirs = objtool(referee, bytes, []);
      if (theirs.complaint === '')
        expect(sitesOf(tablesOf(out)).sort()).toEqual(sitesOf(tablesOf(theirs.bytes)).sort());
    }
    folder.write('main.cc', 'int p(int), q(int); int main(int n, char **) { return p(n) + q(n); }');
    must(compiler!, [
      '-no-pie',
      '-o',
      folder.file('out'),
      ...['main.cc', 'p.o', 'q.o', 'keys.o'].map((f) => folder.file(f)),
    ]);
    const linked = readElf(folder.read('out'));
    const [table, decoded] = [findSites(linked), decodeSites(linked)];
    expect(table.map((s) => s.at).sort()).toEqual(decoded.map((s) => s.at).sort());
    expect(table.map((s) => s.keySymbol).sort()).toEqual(decoded.map((s) => s.keySymbol).sort());
  });
});

describe('linked files', () => {
  beforeEach(({ skip }) => skip(!gcc, 'gcc is missing'));
  const main = `${c}\nint main(int n, char **v) { (void)v; return plain(n) + tail(n) + both(n) == 6 ? 0 : 1; }`;

  test.each([
    ['a shared object', c, ['-shared', '-fPIC']],
    [
      'a shared object whose keys are exported',
      c.replaceAll('"hidden"', '"default"'),
      ['-shared', '-fPIC'],
    ],
    ['a program', main, []],
    ['a program at a fixed address', main, ['-no-pie']],
    ['a static program', main, ['-static']],
    ['link-time optimisation', main, ['-flto', '-flto-partition=none']],
  ])('%s gets its table, still runs, and reads back what decoding found', (_, source, flags) => {
    const bytes = build(gcc!, '.c', source, ['-O2', '-fno-inline', ...flags]);
    const before = readElf(bytes);
    const { bytes: out, sites } = annotate(before);
    const after = readElf(out!);
    expect(sites.length).toBeGreaterThanOrEqual(4);
    expect(after.section('.static_call_sites')).toMatchObject({
      address: 0,
      flags: 0,
      entrySize: 8,
    });
    expect(findSites(after)).toEqual(sites);
    expect(unchanged(bytes, out!)).toEqual([]);
    using folder = new Folder();
    const path = folder.write('out', out!);
    if (readelf) expect(must(readelf, ['-aW', path])).toContain('.static_call_sites');
    if (source !== main) return;
    must('chmod', ['+x', path]);
    expect(spawnSync(path).status).toBe(0);
    // strip takes symbols, and leaves the table.
    must('strip', ['-o', folder.file('stripped'), path]);
    expect(readElf(folder.read('stripped')).section('.static_call_sites')!.size).toBe(
      sites.length * 8,
    );
  });

  test('a key of another file is named by what the calls go through', () => {
    const source =
      'extern int __SCT__far(int); int f(int x) { return __SCT__far(x) + 1; } int g(int x) { return __SCT__far(x); }';
    const out = annotate(readElf(build(gcc!, '.c', source, ['-O2', '-shared', '-fPIC']))).bytes!;
    expect(
      findSites(readElf(out))
        .map((s) => `${s.kind} ${s.keySymbol}`)
        .sort(),
    ).toEqual(['call __SCT__far', 'jmp __SCT__far']);
  });

  test('a table that came through the linker is left alone, and written over when forced', () => {
    using folder = new Folder();
    folder.write('in.o', annotate(readElf(compile(gcc!, '.c', main, ['-O2']))).bytes!);
    must(gcc!, ['-o', folder.file('out'), folder.file('in.o')]);
    const linked = readElf(folder.read('out'));
    expect(annotate(linked).outcome).toBe('present');
    const forced = readElf(annotate(linked, { force: true }).bytes!);
    expect(findSites(forced).map((s) => [s.at, s.keySymbol, s.flags])).toEqual(
      decodeSites(linked).map((s) => [s.at, s.keySymbol, s.flags]),
    );
  });
});

test('keys that the dynamic linker fills in are read from its relocations, and not written over', ({
  skip,
}) => {
  skip(!gcc, 'gcc is missing');
  using folder = new Folder();
  folder.write('in.o', annotate(readElf(compile(gcc!, '.c', c, ['-O2', '-fPIC']))).bytes!);
  must(gcc!, ['-shared', '-o', folder.file('out.so'), folder.file('in.o')]);
  const linked = readElf(folder.read('out.so'));
  const shown = (sites: readonly { at: number; keySymbol: string; flags: number }[]) =>
    sites.map((s) => `${s.at} ${s.keySymbol} ${s.flags}`).sort();
  expect(shown(findSites(linked))).toEqual(shown(decodeSites(linked)));
  // Forced, the loaded table loses its name and keeps its place, and the file gets another one.
  const forced = readElf(annotate(linked, { force: true }).bytes!);
  const old = linked.section('.static_call_sites')!;
  expect(forced.sections[old.index]).toEqual({ ...old, name: '' });
  expect(shown(findSites(forced))).toEqual(shown(decodeSites(linked)));
});

test('rustc: an object is annotated like one of C', ({ skip }) => {
  const rustc = tool('rustc');
  skip(!rustc, 'rustc is missing');
  using folder = new Folder();
  folder.write(
    'in.rs',
    `#![crate_type = "lib"]
extern "C" { fn __SCT__a(x: i32) -> i32; static __SCK__a: [usize; 2]; }
#[used] static KEEP: &[usize; 2] = unsafe { &__SCK__a };
#[no_mangle] pub extern "C" fn plain(x: i32) -> i32 { unsafe { __SCT__a(x) + 1 } }
#[no_mangle] pub extern "C" fn tail(x: i32) -> i32 { unsafe { __SCT__a(x) } }
`,
  );
  must(rustc!, [
    '--emit=obj',
    '-O',
    '-C',
    'relocation-model=static',
    '-C',
    'codegen-units=1',
    '-o',
    folder.file('out.o'),
    folder.file('in.rs'),
  ]);
  const bytes = folder.read('out.o');
  const out = annotate(readElf(bytes)).bytes!;
  expect(
    findSites(readElf(out))
      .map((s) => `${s.kind} ${s.keySymbol}`)
      .sort(),
  ).toEqual(['call __SCK__a', 'jmp __SCK__a']);
  expect(unchanged(bytes, out)).toEqual([]);
  accepted(out);
});
