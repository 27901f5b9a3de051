import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { hex } from '#base/addr';
import type { ElfObject } from '#elf/object';
import { readElf } from '#elf/read';
import { bindKeys } from '#keys/bind';
import { accepted as accepts } from '#keys/key';
import { findSites } from '#sites/find';
import { accepted, compile, has, INCLUDE, output, place, refusal, type Source } from './compile.js';
import { LONG, more } from '../more.js';

const C = ['gcc', ...(has('clang') ? ['clang'] : [])];
const CXX = ['g++', 'clang++'].filter(has);

// What is not here is not asked below; this says so.
it.for(['clang', 'g++', 'clang++'])('%s has its say', (cc, { skip }) =>
  skip(!has(cc), `${cc} is not installed`),
);

/** Every macro, with targets that are static, public and undefined in the file. */
const RIGHT = `
#include <stdio.h>
#ifdef __cplusplus
#define NOTHING nullptr
#else
#define NOTHING (void *)0
#endif
static int one(int a) { return a + 1; }
int two(int a) { return a + 2; }
DEFINE_STATIC_CALL(work, one);
STATIC_CALL_TARGET(work, two);
STATIC_CALL_TARGET(work, putchar);
static void say(const char *s) { puts(s); }
DEFINE_STATIC_CALL_NULL(trace, say);
STATIC_CALL_TARGET(trace, say);
static int drop(unsigned char c) { return c; }
DEFINE_STATIC_CALL_RET0(filter, drop);
STATIC_CALL_TARGET(filter, drop);
static int tail(int a) { return static_call(work)(a * 10); }
int main(void)
{
	static_call_cond(trace)("never");
	printf("%d %d %d", static_call(work)(1), tail(4), static_call(filter)('x'));
	printf(" %d", static_call_query(work) == one);
	printf(" %d %d %d\\n", static_call_update(work, two), static_call_update(trace, NOTHING), static_call_update(filter, STATIC_CALL_RETURN0(filter)));
	return 0;
}`;
const SAYS = '2 41 0 1 -38 -38 -38\n';

const lld = has('ld.lld');
const MODES: readonly (readonly string[])[] = [
  ['-O0', '-fno-pic', '-no-pie'],
  ['-fPIE', '-pie', '-fcf-protection', '-fpatchable-function-entry=16,8'],
  ['-fPIC', '-fno-plt', '-ffunction-sections', '-Wl,--gc-sections'],
  ['-Os', '-fvisibility=hidden', '-masm=intel'],
  ['-flto'],
];

describe('a right program', () => {
  describe.each([...C, ...CXX])('of %s', (cc) => {
    // C++ differs from C in what is declared, not in what is emitted.
    it.each(
      cc.includes('++')
        ? [MODES[2]!, ...more(MODES[0]!, MODES[4]!)]
        : [MODES[0]!, MODES[2]!, ...more(...MODES.filter((_, i) => i % 2 === 1 || i === 4))],
    )('runs unchanged when nobody retargets it: %s %s %s %s', (...mode) => {
      if (mode[0] === '-flto' && cc.startsWith('clang') && !lld) return;
      const flags =
        mode[0] === '-flto' && cc.startsWith('clang') ? [...mode, '-fuse-ld=lld'] : mode;
      const { path, elf } = compile({
        cc,
        text: RIGHT,
        as: 'program',
        flags: flags.filter((f): f is string => f !== undefined),
      });
      expect(output(path)).toBe(SAYS);
      const keys = bindKeys(elf, findSites(elf));
      expect(keys.map((k) => [k.name, k.returns, k.initial, k.targets.map((t) => t.name)])).toEqual(
        [
          ['filter', 'integer', { kind: 'ret0' }, ['drop']],
          ['trace', 'void', { kind: 'null' }, ['say']],
          ['work', 'integer', { kind: 'function', name: 'one' }, ['one', 'putchar', 'two']],
        ],
      );
    });
  });

  it.each([
    ['gcc', '-std=c2x'],
    ...more(['gcc', '-std=gnu17'] as const),
    ['g++', '-std=c++20'],
    ['g++', '-std=gnu++2b'],
  ])('compiles in other dialects: %s %s', (cc, dialect) => {
    accepted({ cc, text: RIGHT, flags: [dialect] });
  });

  if (LONG)
    it.each(CXX)('may throw through a call, and be built without exceptions: %s', (cc) => {
      const text = `
#include <cstdio>
static int bad(int) { throw 7; }
DEFINE_STATIC_CALL(work, bad);
template <class T> T call(T a) { return static_call(work)(a); }
int main() { try { return call(1); } catch (int n) { std::printf("caught %d\\n", n); } }`;
      expect(output(compile({ cc, text, as: 'program' }).path)).toBe('caught 7\n');
      const plain = text
        .replace('{ throw 7; }', '{ return 7; }')
        .replace('try {', '{')
        .replace('catch (int n)', 'int n = 1;');
      accepted({ cc, text: plain, flags: ['-fno-exceptions'] });
    });

  if (LONG)
    it.each(CXX)('declares members of namespaces, instances and overloads as targets: %s', (cc) => {
      const { elf } = compile({
        cc,
        flags: ['-O0'],
        text: `
namespace ns { int plain(int a) noexcept { return a; } }
template <class A, class B> int pick(int a) { return a + int(sizeof(A) + sizeof(B)); }
int over(int a) { return a; }
double over(double a) { return a; }
int first(int a) { return a; }
DEFINE_STATIC_CALL(work, first);
STATIC_CALL_TARGET(work, ns::plain);
STATIC_CALL_TARGET(work, (pick<int, long>));
STATIC_CALL_TARGET(work, static_cast<int (*)(int)>(over));
inline int use(int a) { auto call = [](int b) { return static_call(work)(b); }; return call(a); }
int caller(int a) { return use(a); }`,
      });
      const [work] = bindKeys(elf, findSites(elf));
      expect(work!.targets.map((t) => t.name)).toEqual([
        '(pick<int, long>)',
        'first',
        'ns::plain',
        'static_cast<int (*)(int)>(over)',
      ]);
      expect(work!.targets.every((t) => t.address !== null)).toBe(true);
      // Records are constants: nothing runs before main to fill them.
      expect(elf.sections.filter((s) => s.name === '.init_array').every((s) => s.size === 8)).toBe(
        true,
      );
    });

  if (LONG)
    it.each([...C, ...CXX])('says what its functions return: %s', (cc) => {
      const { elf } = compile({
        cc,
        text: `
#include <stdbool.h>
struct pair { long a, b; };
#define KEY(name, type, parameters) type f_##name parameters; type f_##name parameters { for (;;) {} } DEFINE_STATIC_CALL(name, f_##name)
KEY(nothing, void, (int a));
KEY(nothing_of_float, void, (float a));
KEY(number, int, (long a));
KEY(yes, bool, (char *a));
KEY(wide, unsigned long, (void *a, int b));
KEY(pointer, char *, (int a));
KEY(pointer_of_float, struct pair *, (float a));
KEY(real, double, (int a));
KEY(both, struct pair, (int a));
KEY(narrow, int, (char a));`,
        flags: ['-Wno-unused-parameter', '-Wno-return-type'],
      });
      const of = Object.fromEntries(bindKeys(elf, []).map((k) => [k.name, k.returns]));
      const [gcc, cxx] = [cc === 'gcc', cc.includes('++')];
      expect(of).toEqual({
        nothing: 'void',
        nothing_of_float: gcc || cxx ? 'void' : null,
        number: 'integer',
        yes: 'integer',
        wide: 'integer',
        pointer: 'integer',
        pointer_of_float: gcc || cxx ? 'integer' : null,
        real: 'other',
        both: cxx ? 'other' : null,
        narrow: cxx ? 'integer' : null,
      });
    });
});

/** What an existing project brings along, and the warnings that it treats as errors. */
describe('a project that adopts the header', () => {
  // A table's prefix, types of pointers, a key that a header declares and a source defines.
  const text = `
#define PREFIX(x) zng_##x
#define KEY PREFIX(hash)
#ifdef __cplusplus
#define NOTHING nullptr
#define NONE(type) static_cast<type>(nullptr)
extern "C" {
#else
#define NOTHING (void *)0
#define NONE(type) (type)0
#endif
int PREFIX(crc)(int a);
int PREFIX(crc2)(int a);
int run(int a);
int add(int a, int b);
void release(void *p);
typedef int (*op_t)(int, int);
typedef void (*log_t)(int, const char *, ...);
typedef void log_fn(int);
DECLARE_STATIC_CALL(op, *NONE(op_t));
DECLARE_STATIC_CALL(KEY, PREFIX(crc));
#ifdef __cplusplus
}
#endif
int PREFIX(crc)(int a) { return a; }
int PREFIX(crc2)(int a) { return a + 1; }
int add(int a, int b) { return a + b; }
void release(void *p) { (void)p; }
DEFINE_STATIC_CALL(op, add);
STATIC_CALL_TARGET_RET0(op);
DEFINE_STATIC_CALL(KEY, PREFIX(crc));
STATIC_CALL_TARGET(KEY, PREFIX(crc2));
DEFINE_STATIC_CALL_NULL(log, *NONE(log_t));
DEFINE_STATIC_CALL_NULL(PREFIX(log), log_fn);
DEFINE_STATIC_CALL_RET0(zero, add);
DEFINE_STATIC_CALL(PREFIX(free), release);
STATIC_CALL_TARGET_NULL(PREFIX(free));
int run(int a)
{
	static_call_cond(log)(a, "x");
	static_call_cond(PREFIX(log))(a);
	if (static_call_query(KEY) == PREFIX(crc))
		a += static_call_update(KEY, PREFIX(crc2)) + static_call_update(PREFIX(free), NOTHING);
	return static_call(KEY)(a) + static_call(op)(a, 1) + static_call(zero)(a, 2) +
	       static_call_update(op, STATIC_CALL_RETURN0(op)) + !STATIC_CALL_KEY(KEY).func;
}`;
  const STRICTER = ['-Wredundant-decls', '-Wpointer-arith', '-Wundef', '-Wconversion'];
  const STRICTER_CXX = [...STRICTER, '-Wold-style-cast', '-Wzero-as-null-pointer-constant'];
  // C++ that returns a class, in a header of C.
  const classes = `${text}
#include <string>
std::string copied(const std::string &s);
std::string copied(const std::string &s) { return s; }
DEFINE_STATIC_CALL(st, copied);`;
  const INSIDE = 'extern "C" {\n#include <static_call.h>\n}';

  it.each([
    ['gcc', '-std=c90', '-I'],
    ['gcc', '-std=gnu99', '-isystem'],
    ['clang', '-std=gnu99', '-I'],
    ...more(
      ['gcc', '-std=gnu90', '-I'] as const,
      ['gcc', '-std=c2x', '-I'] as const,
      ['clang', '-std=c90', '-isystem'] as const,
      ['clang', '-std=c11', '-isystem'] as const,
    ),
  ])('passes its warnings in C: %s %s %s', (cc, dialect, include) => {
    if (has(cc)) accepted({ cc, text, flags: [dialect, include, INCLUDE, ...STRICTER] });
  });
  it.each([
    ['g++', '-std=c++14', '-I'],
    ['clang++', '-std=c++17', '-isystem'],
    ...more(
      ['g++', '-std=c++11', '-isystem'] as const,
      ['g++', '-std=c++20', '-I'] as const,
      ['clang++', '-std=c++11', '-I'] as const,
      ['clang++', '-std=c++20', '-I'] as const,
    ),
  ])('passes its warnings in C++, inside extern "C" too: %s %s %s', (cc, dialect, include) => {
    if (has(cc))
      accepted({
        cc,
        begin: INSIDE,
        text: classes,
        flags: [dialect, include, INCLUDE, ...STRICTER_CXX],
      });
  });
  it.each(['gcc', ...more(...C.slice(1), ...CXX)])(
    'finds the names that its macros made, of keys and functions alike: %s',
    (cc) => {
      const { elf } = compile({ cc, text });
      expect(
        bindKeys(elf, findSites(elf)).map((k) => [k.name, k.initial, accepts(k), k.sites.length]),
      ).toEqual([
        ['log', { kind: 'null' }, [null], 1],
        ['op', { kind: 'function', name: 'add' }, ['add', 'ret0'], 1],
        ['zero', { kind: 'ret0' }, ['ret0'], 1],
        ['zng_free', { kind: 'function', name: 'release' }, ['release', null], 0],
        ['zng_hash', { kind: 'function', name: 'zng_crc' }, ['zng_crc', 'zng_crc2'], 1],
        ['zng_log', { kind: 'null' }, [null], 1],
      ]);
    },
  );
  it.skipIf(!has('clang++'))('may be a C++20 module: clang++', () => {
    const [source, module, out] = [place('m.cppm'), place('m.pcm'), place('libm.so')];
    writeFileSync(
      source,
      `module;
#include <static_call.h>
export module m;
export int add(int a) { return a; }
int sub(int a) { return -a; }
DEFINE_STATIC_CALL(op, add);
STATIC_CALL_TARGET(op, sub);
export int run(int a) { return static_call(op)(a) + 1; }
`,
    );
    const flags = ['-std=c++20', '-O2', '-fPIC', `-I${INCLUDE}`];
    execFileSync('clang++', [...flags, '--precompile', source, '-o', module]);
    execFileSync('clang++', ['-fPIC', '-shared', module, '-o', out]);
    const elf = readElf(readFileSync(out), out);
    expect(bindKeys(elf, findSites(elf))).toMatchObject([
      { name: 'op', targets: [{ name: 'add' }, { name: 'sub' }], sites: [{ kind: 'call' }] },
    ]);
  });
});

/** Symbol of an object, as readelf would show it. */
function symbol(
  elf: ElfObject,
  name: string,
): { value: number; size: number; type: number; visibility: number; section: string } {
  const symbols = elf.symbols!;
  const i = symbols.find(name);
  expect(i, name).toBeGreaterThan(0);
  return {
    value: symbols.value(i),
    size: symbols.size(i),
    type: symbols.type(i),
    visibility: symbols.visibility(i),
    section: elf.sections[symbols.sectionIndex(i)]?.name ?? '',
  };
}
const bytesOf = (elf: ElfObject, at: number): string => Buffer.from(elf.at(at, 8)!).toString('hex');

describe.each(C.slice(0, LONG ? 2 : 1))('the layout that %s makes', (cc) => {
  const source: Source = {
    cc,
    text: `
int one(int a); int one(int a) { return a; }
DEFINE_STATIC_CALL(work, one);
void say(void); void say(void) {}
DEFINE_STATIC_CALL_NULL(trace, say);
DEFINE_STATIC_CALL_RET0(filter, one);
int use(int a); int use(int a) { static_call_cond(trace)(); return static_call(work)(a) + static_call(filter)(a); }`,
    flags: ['-Wl,-z,text', '-fcf-protection'],
  };

  it("has trampolines of eight aligned bytes with the kernel's signature, without endbr64", () => {
    const { elf } = compile(source);
    const of = (name: string): string => bytesOf(elf, symbol(elf, `__SCT__${name}`).value);
    expect(of('work')).toMatch(/^e9.{8}0fb9cc$/);
    expect(of('trace')).toBe('c3cc9090900fb9cc');
    expect(of('filter')).toMatch(/^e9.{8}0fb9cc$/);
    for (const name of ['work', 'trace', 'filter']) {
      const trampoline = symbol(elf, `__SCT__${name}`);
      expect(trampoline).toMatchObject({
        size: 8,
        type: 2 /* STT_FUNC */,
        section: '.static_call.text',
      });
      expect(trampoline.value % 8).toBe(0);
      expect(symbol(elf, `__SCK__${name}`).value % 16).toBe(0);
      expect(symbol(elf, `__SCK__${name}`)).toMatchObject({
        size: 16,
        section: name === 'trace' ? '.bss' : '.data',
      });
    }
    const rel32 = elf.at(symbol(elf, '__SCT__filter').value + 1, 4)!;
    const to =
      symbol(elf, '__SCT__filter').value +
      5 +
      new DataView(rel32.buffer, rel32.byteOffset).getInt32(0, true);
    expect(hex(to)).toBe(hex(symbol(elf, '__static_call_return0').value));
    expect(bytesOf(elf, to).slice(0, 14)).toBe('f30f1efa31c0c3');
  });

  it('hides a key that is not exported, so that its calls are direct', () => {
    const { elf } = compile(source);
    const dynamic = elf.dynamicSymbols!;
    for (const name of ['__SCT__work', '__SCK__work', '__static_call_return0'])
      expect(dynamic.find(name), name).toBe(-1);
    expect(findSites(elf).map((s) => [s.key, s.kind, s.length])).toEqual([
      ['trace', 'call', 5],
      ['work', 'call', 5],
      ['filter', 'call', 5],
    ]);
  });

  it("has the kernel's names in an object, the key beside the trampoline, and direct calls even without optimisation", () => {
    const user = compile({
      cc,
      as: 'object',
      flags: ['-O0', '-fPIC'],
      text: 'DECLARE_STATIC_CALL(work, __static_call_return0);\nlong use(void); long use(void) { return static_call(work)(); }',
    });
    const symbols = user.elf.symbols!;
    expect(symbols.defined(symbols.find('__SCK__work'))).toBe(false);
    expect(findSites(user.elf).map((s) => [s.key, s.keySymbol, s.kind])).toEqual([
      ['work', '__SCK__work', 'call'],
    ]);
    // What names the key is not part of a linked file.
    const linked = compile({ cc, text: `${source.text}` });
    expect(linked.elf.section('.discard.static_call')).toBeUndefined();
  });

  it('keeps what it declares through --gc-sections, and needs no relocation of text', () => {
    const { elf } = compile({
      ...source,
      flags: [...source.flags!, '-ffunction-sections', '-fdata-sections', '-Wl,--gc-sections'],
      text: `${source.text}\nstatic int other(int a) { return -a; }\nSTATIC_CALL_TARGET(work, other);\nint never(int a);\nDEFINE_STATIC_CALL(unused, one);`,
    });
    const keys = bindKeys(elf, findSites(elf));
    expect(keys.map((k) => k.name)).toEqual(['filter', 'trace', 'unused', 'work']);
    expect(keys.find((k) => k.name === 'work')!.targets.map((t) => t.name)).toEqual([
      'one',
      'other',
    ]);
  });
});

it.each(C)('a target may be a function that promises more than the key asks: %s', (cc) => {
  const text =
    '#include <stdlib.h>\nint one(int a); int one(int a) { return a; }\nDEFINE_STATIC_CALL(work, one);\nSTATIC_CALL_TARGET(work, abs);\nint up(void); int up(void) { return static_call_update(work, abs) + static_call_update(work, &abs); }';
  accepted({ cc, text });
});

describe('a key that several files share', () => {
  const HEADER = `
#ifdef __cplusplus
extern "C" {
#endif
int f(int); int g(int);
#ifdef __cplusplus
}
#endif
#define STATIC_CALL_EXPORTED_pub 1
DECLARE_STATIC_CALL(pub, f);
#define STATIC_CALL_EXPORTED_TRAMP_tonly 1
DECLARE_STATIC_CALL(tonly, f);
DECLARE_STATIC_CALL(priv, f);
`;
  const DEFINER = `${HEADER}
int f(int a) { return a + 1; }
int g(int a) { return a * 10; }
DEFINE_STATIC_CALL(pub, f);
EXPORT_STATIC_CALL(pub);
DEFINE_STATIC_CALL(tonly, f);
EXPORT_STATIC_CALL_TRAMP(tonly);
DEFINE_STATIC_CALL(priv, f);
int a(int); int a(int x) { return static_call(pub)(x) + static_call(tonly)(x) + static_call(priv)(x); }`;

  it.for(C.slice(0, LONG ? 2 : 1))(
    'is called from C and C++ files of one program: %s',
    (cc, { skip }) => {
      const cxx = cc === 'gcc' ? 'g++' : 'clang++';
      skip(!has(cxx), `${cxx} is not installed`);
      const one = compile({ cc, as: 'object', text: DEFINER });
      const two = compile({
        cc: cxx,
        as: 'object',
        text: `${HEADER}\nextern "C" int b(int x) { return static_call(priv)(x) * 100; }\nSTATIC_CALL_TARGET(priv, g);`,
      });
      const main = compile({
        cc,
        as: 'program',
        flags: [one.path, two.path],
        text: '#include <stdio.h>\nint a(int); int b(int);\nint main(void) { printf("%d %d\\n", a(1), b(1)); return 0; }',
      });
      expect(output(main.path)).toBe('6 200\n');
      expect(bindKeys(main.elf, findSites(main.elf)).find((k) => k.name === 'priv')).toMatchObject({
        targets: [{ name: 'f' }, { name: 'g' }],
        sites: [{}, {}],
      });
    },
  );

  it.each(C.slice(0, LONG ? 2 : 1))('is exported whole, or only to be called: %s', (cc) => {
    const lib = compile({ cc, text: DEFINER });
    const seen = [
      '__SCK__pub',
      '__SCT__pub',
      '__SCK__tonly',
      '__SCT__tonly',
      '__SCK__priv',
      '__SCT__priv',
    ].map((n) => lib.elf.dynamicSymbols!.find(n) > 0);
    expect(seen).toEqual([true, true, false, true, false, false]);
    // Protected where it is defined: its own object still calls it directly.
    expect(findSites(lib.elf).map((s) => [s.key, s.kind, s.length])).toEqual([
      ['pub', 'call', 5],
      ['tonly', 'call', 5],
      ['priv', 'call', 5],
    ]);
    const record = lib.elf.section('.static_call_tramp_key')!;
    const view = new DataView(
      lib.elf.data(record).buffer,
      lib.elf.data(record).byteOffset,
      record.size,
    );
    expect(record.size).toBe(8);
    expect(record.address + view.getInt32(0, true)).toBe(symbol(lib.elf, '__SCT__tonly').value);
    expect(record.address + 4 + view.getInt32(4, true)).toBe(symbol(lib.elf, '__SCK__tonly').value);

    const user = compile({
      cc,
      flags: [lib.path, '-Wl,-z,defs', '-Wl,-z,text'],
      text: `${HEADER}
STATIC_CALL_TARGET(pub, g);
int b(int); int b(int x) { return static_call(pub)(x) * 100 + static_call_mod(tonly)(x) + (static_call_query(pub) == f); }`,
    });
    const main = compile({
      cc,
      as: 'program',
      flags: [lib.path, user.path],
      text: '#include <stdio.h>\nint a(int); int b(int);\nint main(void) { printf("%d %d\\n", a(1), b(1)); return 0; }',
    });
    expect(output(main.path)).toBe('6 203\n');
    expect(bindKeys(user.elf, findSites(user.elf))).toMatchObject([
      {
        name: 'pub',
        address: null,
        trampoline: null,
        returns: null,
        initial: null,
        targets: [{ name: 'g', address: null }],
        sites: [{ kind: 'call' }],
      },
      { name: 'tonly', address: null, trampoline: null, sites: [{ kind: 'call' }] },
    ]);
  });
});

it.each(C)('arguments are evaluated though the key is empty: %s', (cc) => {
  const { path } = compile({
    cc,
    as: 'program',
    text: `
#include <stdio.h>
void say(int n); void say(int n) { printf("%d\\n", n); }
DEFINE_STATIC_CALL_NULL(trace, say);
int echo(int n); int echo(int n) { return n; }
DEFINE_STATIC_CALL_RET0(filter, echo);
int main(void)
{
	int n = 0;
	static_call_cond(trace)(++n);
	(void)static_call(filter)(++n);
	return n;
}`,
  });
  expect(spawnSync(path).status).toBe(2);
});

describe('static_call_update', () => {
  it.each([...C, ...CXX])('asks the runtime that the key names: %s', (cc) => {
    const { path } = compile({
      cc,
      as: 'program',
      text: `
#include <stdio.h>
static int one(int a) { return a; }
static int two(int a) { return 2 * a; }
DEFINE_STATIC_CALL(work, one);
static int runtime(struct static_call_key *key, void *func) { key->func = func; return 5; }
int main(void)
{
	int before = static_call_update(work, two);
	STATIC_CALL_KEY(work).update = runtime;
	int after = static_call_update(work, &two);
	printf("%d %d %d\\n", before, after, static_call_query(work)(21));
	return 0;
}`,
    });
    expect(output(path)).toBe('-38 5 42\n');
  });
});

describe('a wrong program does not compile', () => {
  const KEYS = `
int one(int); int one(int a) { return a; }
long wide(long); long wide(long a) { return a; }
double real(int); double real(int a) { return a; }
void say(const char *); void say(const char *s) { (void)s; }
DEFINE_STATIC_CALL(work, one);
DEFINE_STATIC_CALL_NULL(trace, say);
`;
  const BOTH: readonly (readonly [what: string, text: string, says: RegExp])[] = [
    [
      'a target of another type',
      'STATIC_CALL_TARGET(work, wide);',
      /static_call: wide cannot be a target of key work: it has another type/,
    ],
    [
      'a target that returns something else',
      'STATIC_CALL_TARGET(work, real);',
      /static_call: real cannot be a target of key work/,
    ],
    [
      'a key whose functions are given by a type of pointers to them',
      'typedef int (*op_t)(int); DECLARE_STATIC_CALL(op, op_t);',
      /static_call: key op needs the type of a function, and op_t is a pointer to one: write \*\(op_t\)0 in its place/,
    ],
    [
      'an empty key whose functions are given so',
      'typedef void (*log_t)(int); DEFINE_STATIC_CALL_NULL(log, log_t);',
      /key log needs the type of a function, and log_t is a pointer to one: write \*\(log_t\)0/,
    ],
    [
      'null for a key that returns a value',
      'STATIC_CALL_TARGET_NULL(work);',
      /static_call: key work cannot be empty: its functions return a value/,
    ],
    [
      'return 0 for a key that returns nothing',
      'STATIC_CALL_TARGET_RET0(trace);',
      /static_call: key trace cannot return 0/,
    ],
    [
      'an update to another type',
      'int up(void); int up(void) { return static_call_update(work, wide); }',
      /static_call: wide cannot be the target of key work/,
    ],
    [
      'an update to a number',
      'int up(void); int up(void) { return static_call_update(work, 0); }',
      /static_call: 0 cannot be the target of key work/,
    ],
    [
      'an empty key that returns a value',
      'DEFINE_STATIC_CALL_NULL(empty, one);',
      /static_call: key empty cannot be empty: its functions return a value/,
    ],
    [
      'return 0 for a double',
      'DEFINE_STATIC_CALL_RET0(zero, real);',
      /static_call: key zero cannot return 0: its functions return neither an integer nor a pointer/,
    ],
    [
      'return 0 for void',
      'DEFINE_STATIC_CALL_RET0(zero, say);',
      /static_call: key zero cannot return 0/,
    ],
    [
      'an update to return 0 of a void key',
      'int up(void); int up(void) { return static_call_update(trace, STATIC_CALL_RETURN0(trace)); }',
      /static_call: key trace cannot return 0/,
    ],
    [
      'the value of a conditional call',
      'int get(void); int get(void) { return static_call_cond(trace)("x"); }',
      /void|return-statement/,
    ],
    [
      'a call with the wrong arguments',
      'int get(void); int get(void) { return static_call(work)(1, 2); }',
      /too many arguments/,
    ],
    [
      'a call with an argument of another type',
      'int get(void); int get(void) { return static_call(work)("x"); }',
      /integer from pointer|pointer to integer|invalid conversion|cannot initialize/,
    ],
    [
      'an export that came too late',
      'EXPORT_STATIC_CALL(work);',
      /static_call: to export key work, write #define STATIC_CALL_EXPORTED_work 1 before/,
    ],
    [
      'an export of the trampoline that came too late',
      'EXPORT_STATIC_CALL_TRAMP(work);',
      /write #define STATIC_CALL_EXPORTED_TRAMP_work 1 before/,
    ],
  ];
  /**
   * All of them in one compilation, each as a file of its own: the compiler says which of them it
   * refuses.
   */
  const together = (cc: string, cases: readonly string[]): string[] => {
    const text = cases
      .map(
        (each, i) =>
          `#line 1 "case-${i}"\n${each.replaceAll(/\b(up|get)\(void\)/g, `$1_${i}(void)`)}`,
      )
      .join('\n');
    // In macros gcc would name the header's line.
    const said = refusal({
      cc,
      text: `${KEYS}${text}`,
      flags: cc.startsWith('clang') ? ['-ferror-limit=0'] : ['-ftrack-macro-expansion=0'],
    });
    return cases.map((_, i) =>
      said
        .split('\n')
        .filter((line) => new RegExp(`^case-${i}:\\d+:(\\d+:)? error: `).test(line))
        .join('\n'),
    );
  };
  describe.each([...C, ...CXX])('with %s', (cc) => {
    // The last is right, and nothing may be said of it.
    let said: readonly string[];
    beforeAll(
      () =>
        void (said = together(cc, [
          ...BOTH.map(([, text]) => text),
          'STATIC_CALL_TARGET(work, one);',
        ])),
    );
    it.each(BOTH.map(([what, , says], i) => [what, i, says] as const))('%s', (_what, i, says) => {
      expect(said[i]).toMatch(says);
    });
    it('but what is right among them', () => expect(said[BOTH.length]).toBe(''));
  });
  it.each(CXX)('in C++ also a struct as return 0, and an empty key by nullptr: %s', (cc) => {
    expect(
      refusal({
        cc,
        text: `struct pair { long a, b; }; pair both(int);\nDEFINE_STATIC_CALL_RET0(zero, both);`,
      }),
    ).toMatch(/key zero cannot return 0/);
    expect(
      refusal({ cc, text: `${KEYS}int up() { return static_call_update(work, nullptr); }` }),
    ).toMatch(/nullptr cannot be the target of key work/);
  });
  it.skipIf(!has('g++'))('with two keys of one name, whatever their namespaces', () => {
    const key = (space: string): string =>
      `namespace ${space} { int one(int a) { return a; } DEFINE_STATIC_CALL(hook, one); }`;
    expect(() => compile({ cc: 'g++', as: 'object', text: key('a') + key('b') })).toThrow(
      /static_call: key hook is defined twice in this file: a key's name is one for the whole program, whatever its namespace/,
    );
  });
  it.skipIf(!has('g++'))('of C++ that is older than C++11', () => {
    expect(refusal({ cc: 'g++', text: '', flags: ['-std=c++98', '-E'] })).toMatch(
      /static_call.h: needs C\+\+11 or later: compile with -std=c\+\+11 or newer/,
    );
  });
  it('is not for 32 bits', () => {
    expect(refusal({ cc: 'gcc', text: '', flags: ['-mx32', '-E'] })).toMatch(
      /static calls are for x86-64 with 64-bit pointers/,
    );
  });
});
