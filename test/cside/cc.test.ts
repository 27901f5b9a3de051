import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { alignment, compilerOf, readCompilation } from '#host/compilation';
import { crosses, crossesLine } from '#base/addr';
import { readElf } from '#elf/read';
import type { ElfObject } from '#elf/object';
import { bindKeys } from '#keys/bind';
import { findSites } from '#sites/find';
import { SITES_SECTION } from '#sites/section';
import { line } from '../cli/line.js';
import { LONG, more } from '../more.js';
import { has, place } from './compile.js';

const BIN = join(process.cwd(), 'bin', 'static-call');
const C = ['gcc', ...(has('clang') ? ['clang'] : [])];

const elfOf = (path: string): ElfObject => readElf(new Uint8Array(readFileSync(path)), path);
/** A compiler looks for its assembler and linker on the path. */
const ENV = { PATH: process.env['PATH'] ?? '' };
const tableSize = (elf: ElfObject): number => elf.section(SITES_SECTION)?.size ?? 0;
/** In a process of its own, for the compiler writes to the streams that it inherits. */
function spawned(words: readonly string[]): {
  status: number | null;
  stdout: string;
  stderr: string;
} {
  return spawnSync(process.execPath, [BIN, 'cc', ...words], { encoding: 'utf8' });
}
async function made(words: readonly string[]): Promise<void> {
  expect(await line(['cc', ...words], ENV)).toEqual({ status: 0, stdout: '', stderr: '' });
}
/** What --json says of each output. */
async function outputs(words: readonly string[]): Promise<unknown[]> {
  const { status, stdout } = await line(['cc', '--json', '--', ...words], ENV);
  const said = JSON.parse(stdout) as {
    schema: string;
    status: number;
    outputs: { outcome: string; sites: number }[];
  };
  expect([said.schema, said.status]).toEqual(['static-call/cc@1', status]);
  return said.outputs.map(({ outcome, sites }) => [outcome, sites]);
}

describe("a compiler's command line", () => {
  it.each([
    ['gcc -c a.c', 'compile', ['a.o']],
    ['gcc -O2 -c src/a.c b.cc -I include', 'compile', ['a.o', 'b.o']],
    ['gcc -c -o out/a.o a.c', 'compile', ['out/a.o']],
    ['gcc -c a.c -oa.o', 'compile', ['a.o']],
    ['gcc -MD -MF a.d -MT a.o -c -x c++ -include pre.h -D N=1 a.c', 'compile', ['a.o']],
    ['gcc a.c', 'link', ['a.out']],
    ['gcc -shared a.o -o liba.so -lm', 'link', ['liba.so']],
    ['gcc -L . -l a -o a', 'link', ['a']],
    ['gcc -Wl,-soname,x -Xlinker -z -Xlinker now a.o -o a', 'link', ['a']],
    ['gcc -v a.c', 'link', ['a.out']],
    ['gcc -v', 'other', []],
    ['gcc --version', 'other', []],
    ['gcc -E a.c -o a.i', 'other', []],
    ['gcc -S a.c', 'other', []],
    ['gcc -M -c a.c', 'other', []],
    ['gcc -fsyntax-only a.c', 'other', []],
    ['gcc', 'other', []],
  ])('is read: %s', (command, mode, outputs) => {
    expect(readCompilation(command.split(' ').slice(1))).toMatchObject({ mode, outputs });
  });
  it('may begin with a launcher', () => {
    expect(compilerOf(['/usr/bin/ccache', 'clang', '-c'])).toEqual(['/usr/bin/ccache', 'clang']);
    expect(compilerOf(['clang', '-c'])).toEqual(['clang']);
  });
  it.each([
    ['-fno-plt', { throughGot: true }],
    ['-fno-plt -fplt', { throughGot: false }],
    ['-iquote -fno-plt', { throughGot: false }],
    ['-flto=thin', { lto: true }],
    ['-flto -fno-lto', { lto: false }],
    ['-fno-lto -flto', { lto: true }],
    ['-I -flto', { lto: false }],
    ['-flto-partition=one', { lto: false }],
    ['-no-integrated-as', { external: true }],
    ['-fno-integrated-as -fintegrated-as', { external: false }],
    ['-include -fno-integrated-as', { external: false }],
    ['-r', { partial: true }],
    ['-D -r', { partial: false }],
    ['-Wl,-r', { partial: true }],
  ])('takes the last option, and no value for one: %s', (words, read) => {
    expect(readCompilation(['-c', 'a.c', ...words.split(' ')])).toMatchObject(read);
  });
  it('is given the words of its assembler', () => {
    expect(alignment('gas', readCompilation(['-c', 'a.c', '-fno-plt']), 'line')).toEqual([
      '-Wa,-malign-branch-boundary=64',
      '-Wa,-malign-branch=call+jmp+indirect',
    ]);
    expect(alignment('llvm', readCompilation(['a.c', '-flto']), 'line')).toContain(
      '-Wl,-mllvm,-x86-align-branch-boundary=64',
    );
    expect(alignment('gas', readCompilation(['-E', 'a.c']), 'line')).toEqual([]);
    expect(alignment('llvm', readCompilation(['-c', 'a.c']), 'qword')).toContain(
      '-x86-align-branch-boundary=8',
    );
    expect(() => alignment('gas', readCompilation(['-c', 'a.c']), 'qword')).toThrow(
      'gas keeps nothing inside 8 bytes',
    );
  });
});

/**
 * A thousand sites, a quarter of them tail calls, one in some 170 bytes; nops stand for other code,
 * for they compile fast.
 */
function thousand(): string {
  const functions = Array.from(
    { length: 250 },
    (_, i) => `
int f${i}(int a, int b);
int f${i}(int a, int b)
{
	__asm__ volatile(".skip ${200 + ((i * i) % 97)}, 0x90");
	a += static_call(work)(a + ${i});
	if (b > ${i})
		b = static_call(work)(b) ^ a;
	__asm__ volatile(".skip ${200 + ((i * i * i) % 89)}, 0x90");
	if (a > b)
		return static_call(work)(a - b);
	return noise(a, b) + static_call(work)(b);
}`,
  );
  return `#include <static_call.h>\nint one(int a); int one(int a) { return a; }\nDEFINE_STATIC_CALL(work, one);\nint noise(int, int);\n${functions.join('\n')}\n`;
}

describe('static-call cc', () => {
  let source: string;
  beforeAll(() => {
    source = place('thousand.c');
    writeFileSync(source, thousand());
  });

  it.each(more(...C))(
    'keeps a thousand sites of %s from crossing a line, for less than a hundredth more text',
    async (compiler) => {
      const [plain, aligned] = [place('plain.so'), place('aligned.so')];
      // Compiled once: the assembler is what places the instructions.
      const assembly = place('thousand.s');
      await made(['--', compiler, '-O2', '-fPIC', '-S', source, '-o', assembly]);
      const words = ['--', compiler, '-shared', assembly, '-o'];
      await made(['--align', 'no', ...words, plain]);
      await made([...words, aligned]);
      const [a, b] = [elfOf(plain), elfOf(aligned)];
      const crossing = (elf: ElfObject): number =>
        findSites(elf).filter((s) => crossesLine(s.at, s.length)).length;
      expect(findSites(a)).toHaveLength(1000);
      expect(findSites(b)).toHaveLength(1000);
      // Otherwise the next line would show nothing.
      expect(crossing(a)).toBeGreaterThan(0);
      expect(crossing(b)).toBe(0);
      expect(b.section('.text')!.size / a.section('.text')!.size).toBeLessThan(1.01);
      // The table is in the linked file, and says what decoding says.
      expect(tableSize(b)).toBe(8 * 1000);
      // Closer, where the assembler can: then one store is enough for every site.
      const [unit, share] =
        compiler === 'clang' ? (['qword', 1] as const) : (['fetch16', 0.7] as const);
      const close = place('close.so');
      await made(['--align', unit, ...words, close]);
      const sites = findSites(elfOf(close));
      expect(sites.filter((s) => crosses(unit, s.at, s.length))).toEqual([]);
      expect(
        sites.filter((s) => !crosses('qword', s.at + s.length - 4, 4)).length / sites.length,
      ).toBeGreaterThanOrEqual(share);
    },
  );

  it('annotates an object, which then brings its table into what is linked', async () => {
    const [c, o, so] = [place('a.c'), place('a.o'), place('liba.so')];
    writeFileSync(
      c,
      '#include <static_call.h>\nint one(int a); int one(int a) { return a; }\nDEFINE_STATIC_CALL(work, one);\nint use(int a); int use(int a) { return static_call(work)(a); }\n',
    );
    expect(await outputs(['gcc', '-O2', '-fPIC', '-c', c, '-o', o])).toEqual([['written', 1]]);
    expect(tableSize(elfOf(o))).toBe(8);
    expect(await outputs(['gcc', '-shared', o, '-o', so])).toEqual([['present', 1]]);
    const linked = elfOf(so);
    expect(tableSize(linked)).toBe(8);
    expect(bindKeys(linked, findSites(linked))).toMatchObject([
      { name: 'work', sites: [{ kind: 'jmp' }] },
    ]);
  });

  it('leaves the table of an object that shares keys with other objects to the link', async () => {
    const header =
      '#include <static_call.h>\n#define STATIC_CALL_EXPORTED_work 1\nint one(int a);\nDECLARE_STATIC_CALL(work, one);\n';
    const [ca, cb, oa, ob, la, lb] = [
      place('a.c'),
      place('b.c'),
      place('a.o'),
      place('b.o'),
      place('liba.so'),
      place('libb.so'),
    ];
    writeFileSync(
      ca,
      `${header}int one(int a) { return a; }\nDEFINE_STATIC_CALL(work, one);\nEXPORT_STATIC_CALL(work);\nint use(int a); int use(int a) { return static_call(work)(a); }\n`,
    );
    writeFileSync(
      cb,
      `${header}int more(int a); int more(int a) { return static_call(work)(a) + 1; }\n`,
    );
    for (const [c, o] of [
      [ca, oa],
      [cb, ob],
    ] as const) {
      expect(await outputs(['gcc', '-O2', '-fPIC', '-c', c, '-o', o])).toEqual([['later', 1]]);
      expect(tableSize(elfOf(o))).toBe(0);
    }
    expect(await outputs(['gcc', '-shared', oa, '-o', la])).toEqual([['written', 1]]);
    const { stderr } = await line(
      ['cc', '--verbose', '--', 'gcc', '-shared', ob, '-o', lb, la],
      ENV,
    );
    expect(stderr).toMatch(/^gcc .*\n\S*libb\.so: 1 site\n$/);
    const [a, b] = [elfOf(la), elfOf(lb)];
    expect([tableSize(a), tableSize(b)]).toEqual([8, 8]);
    expect(bindKeys(a, findSites(a))).toMatchObject([
      { name: 'work', initial: { name: 'one' }, sites: [{ kind: 'jmp' }] },
    ]);
    expect(bindKeys(b, findSites(b))).toMatchObject([
      { name: 'work', address: null, trampoline: null, sites: [{ kind: 'call' }] },
    ]);
  });

  it('makes a whole table where only some of the objects brought one', async () => {
    const key = (name: string, exported: boolean): string =>
      `${exported ? `#define STATIC_CALL_EXPORTED_${name} 1\n` : ''}static int ${name}_one(int a) { return a; }\nDEFINE_STATIC_CALL(${name}, ${name}_one);\nint ${name}_use(int a); int ${name}_use(int a) { return static_call(${name})(a) + 1; }\n`;
    const [ca, cb, oa, ob, so] = [
      place('a.c'),
      place('b.c'),
      place('a.o'),
      place('b.o'),
      place('liball.so'),
    ];
    writeFileSync(ca, `#include <static_call.h>\n${key('mine', false)}`);
    writeFileSync(cb, `#include <static_call.h>\n${key('ours', true)}`);
    expect(await outputs(['gcc', '-O2', '-fPIC', '-c', ca, '-o', oa])).toEqual([['written', 1]]);
    expect(await outputs(['gcc', '-O2', '-fPIC', '-c', cb, '-o', ob])).toEqual([['later', 1]]);
    expect(await outputs(['gcc', '-shared', oa, ob, '-o', so])).toEqual([['written', 2]]);
    const linked = elfOf(so);
    expect(
      findSites(linked)
        .map((s) => s.key)
        .sort(),
    ).toEqual(['mine', 'ours']);
    expect(linked.sections.filter((s) => s.name === '' && s.size === 8)).toHaveLength(1);
    execFileSync('readelf', ['-aW', so], { stdio: ['ignore', 'ignore', 'inherit'] });
    execFileSync('strip', [so, '-o', place('stripped.so')]);
  });

  it("passes the compiler's words and status through, and touches nothing that is not made", async () => {
    const bad = place('bad.c');
    writeFileSync(bad, 'int f( { }\n');
    const said = spawned(['--json', '--', 'gcc', '-c', bad, '-o', place('bad.o')]);
    expect(said.status).toBe(1);
    expect(said.stderr).toMatch(/bad\.c:1:\d+: error/);
    expect(JSON.parse(said.stdout)).toMatchObject({ status: 1, outputs: [] });
    expect(spawned(['--', 'gcc', '--version'])).toMatchObject({
      status: 0,
      stdout: execFileSync('gcc', ['--version'], { encoding: 'utf8' }),
    });
    expect(await outputs(['gcc', '-O0', '-c', source, '-o', '/dev/null'])).toEqual([
      ['no-code', 0],
    ]);
    expect(await line(['cc', '--', 'no-such-compiler', 'a.c'])).toMatchObject({
      status: 4,
      stderr: expect.stringMatching(
        /error\[no-compiler\]: no-such-compiler could not be started.*\n.*name a compiler behind --/,
      ),
    });
    expect(await line(['cc'])).toMatchObject({ status: 2 });
  });
});

describe('the example is built', () => {
  const check = (path: string): void => {
    const elf = elfOf(path);
    const sites = findSites(elf);
    expect(tableSize(elf)).toBe(8 * sites.length);
    expect(sites.filter((s) => crossesLine(s.at, s.length))).toEqual([]);
    expect(
      bindKeys(elf, sites).map((k) => [
        k.name,
        k.sites.length > 2,
        k.sites.some((s) => s.kind === 'jmp'),
      ]),
    ).toEqual([
      ['checksum', true, true],
      ['filter', true, true],
      ['trace', true, true],
    ]);
  };
  const copy = (): string => {
    const room = place('checksum');
    cpSync('examples/checksum', room, { recursive: true });
    return room;
  };
  it.skipIf(!has('make'))('by its Makefile', () => {
    const room = copy();
    execFileSync('make', ['-C', room, `STATIC_CALL=${process.execPath} ${BIN}`], {
      stdio: 'ignore',
    });
    check(join(room, 'libchecksum.so'));
  });
  if (LONG)
    it.skipIf(!has('cmake') || !has('make'))('by CMake', () => {
      const room = copy();
      const build = join(room, 'build');
      execFileSync(
        'cmake',
        [
          '-S',
          room,
          '-B',
          build,
          `-DSTATIC_CALL=${process.execPath};${BIN}`,
          '-DCMAKE_BUILD_TYPE=Release',
        ],
        { stdio: 'ignore' },
      );
      execFileSync('cmake', ['--build', build], { stdio: 'ignore' });
      expect(existsSync(join(build, 'libchecksum.so'))).toBe(true);
      check(join(build, 'libchecksum.so'));
    });
});
