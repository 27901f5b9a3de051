import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ElfObject } from '#elf/object';
import { isFault } from '#base/fault';
import { readElf } from '#elf/read';
import { keysOf } from '#keys/bind';
import { typesOf } from '#keys/typescript';
import { accepted, compile, has, refusal } from './compile.js';
import { LONG, more } from '../more.js';

const compilers = ['gcc', 'clang', 'g++', 'clang++'].filter(has);
const begin = '#include <static_key.h>';

it.for(['clang', 'g++', 'clang++'])('%s has its say', (cc, { skip }) =>
  skip(!has(cc), `${cc} is not installed`),
);

/** Every test of both kinds of key, twice; in a C++ inline function too. */
const TEXT = `
DECLARE_STATIC_KEY_FALSE(tracing);
DEFINE_STATIC_KEY_FALSE(tracing);
static DEFINE_STATIC_KEY_TRUE(fast);
extern int traces;
int traces;
int step(int a);
int both(int a);
int on(void);
int step(int a)
{
	int twice = 2 * a;
	if (static_branch_unlikely(&tracing))
		traces += twice;
	int more = twice + 1;
	if (static_branch_likely(&fast))
		return more;
	return -more;
}
int both(int a) { return (static_branch_likely(&tracing) ? 1 : 0) + (static_branch_unlikely(&fast) ? 10 : 0) + a; }
int on(void) { return static_branch_enable(&tracing) + static_branch_inc(&fast) + static_branch_dec(&fast) + static_branch_disable(&tracing) + static_key_enabled(&tracing) + static_key_count(&tracing.key); }
#ifdef __cplusplus
inline int inlined(int a) { if (static_branch_unlikely(&tracing)) return a; return 0; }
int (*taken(void))(int);
int (*taken(void))(int) { return inlined; }
#endif
`;

const EXPORTED = '#define STATIC_KEY_EXPORTED_tracing 1\n';

const MODES: readonly (readonly string[])[] = [
  ['-O0'],
  ['-O3', '-masm=intel'],
  ['-ffunction-sections', '-Wl,--gc-sections'],
  ['-flto'],
];

const opcodes = (elf: ElfObject): string[] =>
  keysOf(elf)
    .flatMap((key) =>
      key.sites.map(({ at, kind }) => `${key.name} ${kind} ${elf.at(at, 1)?.[0]?.toString(16)}`),
    )
    .sort();

describe.each(compilers)('static keys of %s', (cc) => {
  const build = (flags: readonly string[], first = ''): ElfObject =>
    compile({ cc, text: TEXT, begin: `${first}${begin}`, flags }).elf;

  it.each(
    cc.includes('++') ? [MODES[2]!, ...more(...MODES)] : [MODES[1]!, MODES[2]!, ...more(...MODES)],
  )('are found with every test: %s %s', (...flags) => {
    if (flags[0] === '-flto' && cc.startsWith('clang') && !has('ld.lld')) return;
    const lto = flags[0] === '-flto' && cc.startsWith('clang') ? ['-fuse-ld=lld'] : [];
    const elf = build([...flags.filter((f) => f !== undefined), ...lto]);
    const keys = keysOf(elf);
    expect(keys.map((k) => [k.name, k.kind, k.initial])).toEqual([
      ['fast', 'branch', { kind: 'on' }],
      ['tracing', 'branch', { kind: 'off' }],
    ]);
    const inlined = cc.includes('++') ? ['tracing if a9'] : [];
    expect(opcodes(elf)).toEqual(
      ['fast if e9', 'fast unless a9', 'tracing if a9', ...inlined, 'tracing unless e9'].sort(),
    );
  });

  it.skipIf(cc.includes('++') && !LONG)('may be exported, and tested in another object', () => {
    const own = build([], EXPORTED);
    expect(keysOf(own).map(({ name, address }) => [name, address !== null])).toEqual([
      ['fast', true],
      ['tracing', true],
    ]);
    const text = `
DECLARE_STATIC_KEY_FALSE(tracing);
int other(void);
int other(void) { return static_branch_unlikely(&tracing); }`;
    const { elf } = compile({ cc, text, begin: `${EXPORTED}${begin}` });
    expect(keysOf(elf).map((k) => [k.name, k.address, k.initial, k.sites.length])).toEqual([
      ['tracing', null, null, 1],
    ]);
  });

  it('cause no warning that static calls do not', () => {
    const cxx = cc.includes('++') ? ['-Wold-style-cast', '-Wzero-as-null-pointer-constant'] : [];
    accepted({ cc, text: TEXT, begin, flags: ['-Wredundant-decls', '-Wshadow', ...cxx] });
  });

  it('are refused in words where the argument is no key', () => {
    const text = 'int flag; int f(void); int f(void) { return static_branch_unlikely(&flag); }';
    expect(refusal({ cc, text, begin })).toContain(
      '&flag is no address of a key made by DEFINE_STATIC_KEY_TRUE',
    );
    expect(
      refusal({ cc, text: 'DEFINE_STATIC_KEY_TRUE(a); EXPORT_STATIC_KEY(a);', begin }),
    ).toContain('#define STATIC_KEY_EXPORTED_a 1');
  });
});

describe('a file whose static keys are not what they seem', () => {
  let path: string;
  let elf: ElfObject;
  beforeAll(() => {
    ({ path, elf } = compile({ cc: 'gcc', text: TEXT, begin }));
  });

  /** The fault of the same file after a change of its bytes. */
  const faultAfter = (change: (bytes: Uint8Array, view: DataView) => void): string => {
    const bytes = new Uint8Array(readFileSync(path));
    change(bytes, new DataView(bytes.buffer));
    return faultOf(() => keysOf(readElf(bytes, path)));
  };
  const faultOf = (read: () => unknown): string => {
    try {
      read();
    } catch (error) {
      if (isFault(error)) return `${error.code}: ${error.message}`;
      throw error;
    }
    return 'none';
  };
  const sectionAt = (name: string): number => elf.section(name)!.offset;
  /** The file offset of the size in a section's header. */
  const sizeField = (view: DataView, name: string): number =>
    Number(view.getBigUint64(40, true)) + 64 * elf.section(name)!.index + 32;
  const siteOffset = (name: string): number =>
    elf.fileOffset(keysOf(elf).find((key) => key.name === name)!.sites[0]!.at);

  it('is read as it was built', () => {
    expect(faultAfter(() => undefined)).toBe('none');
  });
  it('a name is a call and a static key', () => {
    const both = `static int one(int a) { return a; }\nDEFINE_STATIC_CALL(tracing, one);\n${TEXT}`;
    const { elf: two } = compile({ cc: 'gcc', text: both, begin });
    expect(faultOf(() => keysOf(two))).toBe(
      'bad-keys-section: tracing is a static call and a static key',
    );
  });
  it('a branch tests a key that nothing declares', () => {
    const text =
      'static struct static_key_false own; int f(void); int f(void) { return static_branch_unlikely(&own); }';
    const { elf: undeclared } = compile({ cc: 'gcc', text, begin });
    expect(faultOf(() => keysOf(undeclared))).toMatch(
      /^bad-sites-section: the branch at 0x[0-9a-f]+ tests a key at 0x[0-9a-f]+, which no record describes$/,
    );
  });
  it('the table of sites is cut short', () => {
    expect(
      faultAfter((_, view) => {
        const at = sizeField(view, 'static_key_sites');
        view.setBigUint64(at, view.getBigUint64(at, true) - 4n, true);
      }),
    ).toBe('bad-sites-section: 60 bytes are no whole number of records of 16');
  });
  it('the table of keys is cut short', () => {
    expect(
      faultAfter((_, view) => {
        const at = sizeField(view, 'static_keys');
        view.setBigUint64(at, view.getBigUint64(at, true) - 8n, true);
      }),
    ).toBe('bad-keys-section: 40 bytes are no whole number of records of 24');
  });
  it('the table of sites names one twice', () => {
    expect(
      faultAfter((_, view) => {
        const at = sectionAt('static_key_sites');
        view.setInt32(at + 16, view.getInt32(at, true) - 16, true);
      }),
    ).toMatch(
      /^bad-sites-section: it names the branch at 0x[0-9a-f]+, as static_key_sites\+0x0 does$/,
    );
  });
  it('the table of sites leads out of the code', () => {
    expect(faultAfter((_, view) => view.setInt32(sectionAt('static_key_sites'), 0, true))).toMatch(
      /^bad-sites-section: it names 0x[0-9a-f]+, where no code is$/,
    );
  });
  it('in any order the table of sites says the same', () => {
    // Linked at a fixed address, so that the file holds the keys' addresses itself.
    const program = compile({
      cc: 'gcc',
      text: `${TEXT}\nint main(void) { return step(1); }`,
      begin,
      flags: ['-no-pie'],
      as: 'program',
    });
    const bytes = new Uint8Array(program.elf.bytes);
    const section = program.elf.section('static_key_sites')!;
    const [first, second] = [0, 16].map((row) =>
      bytes.slice(section.offset + row, section.offset + row + 16),
    );
    const moved = (row: Uint8Array, by: number): Uint8Array => {
      const view = new DataView(row.buffer);
      for (const field of [0, 4]) view.setInt32(field, view.getInt32(field, true) + by, true);
      return row;
    };
    bytes.set(moved(second!, 16), section.offset);
    bytes.set(moved(first!, -16), section.offset + 16);
    const places = (read: ElfObject): unknown =>
      keysOf(read).map(({ name, sites }) => [name, sites]);
    expect(places(readElf(bytes, 'turned'))).toEqual(places(program.elf));
    expect(Buffer.compare(bytes, program.elf.bytes)).not.toBe(0);
  });
  it('a branch has a byte that is neither of its two', () => {
    expect(faultAfter((bytes) => bytes.set([0xcc], siteOffset('tracing')))).toMatch(
      /^bad-site: the branch on tracing at 0x[0-9a-f]+ begins with 0xcc, neither 0xe9 nor 0xa9$/,
    );
  });
  it('a branch jumps although its key is off', () => {
    expect(faultAfter((bytes) => bytes.set([0xe9], siteOffset('tracing')))).toMatch(
      /^bad-site: the branch on tracing at 0x[0-9a-f]+ jumps although the key is off at first$/,
    );
  });
  it('a branch leads elsewhere than its record says', () => {
    expect(
      faultAfter((bytes) => {
        bytes[siteOffset('tracing') + 1]! ^= 1;
      }),
    ).toMatch(
      /^bad-site: the branch on tracing at 0x[0-9a-f]+ leads to 0x[0-9a-f]+, and its record/,
    );
  });
  it('the record of a key is of another version', () => {
    // Of the second key's record, because the first bytes of a section are its own check.
    expect(
      faultAfter((_, view) => view.setUint32(sectionAt('static_keys') + 24 + 16, 9, true)),
    ).toBe('bad-keys-section: it is of version 9; this program reads 1');
  });
});

it('its TypeScript type has booleans', () => {
  const { elf } = compile({ cc: 'gcc', text: TEXT, begin });
  expect(typesOf(keysOf(elf), 'App')).toContain(
    '  readonly fast: boolean;\n  readonly tracing: boolean;\n',
  );
});
