import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { isFault } from '#base/fault';
import { readElf } from '#elf/read';
import type { ElfObject, Section } from '#elf/object';
import { inspectInput } from '#inspect/inspect';
import { bindKeys, keysOf } from '#keys/bind';
import { accepted, type KeyDef } from '#keys/key';
import { declaredKeys } from '#keys/records';
import { annotate } from '#sites/annotate';
import { findSites, sitesSections } from '#sites/find';
import { compile, place } from './compile.js';

const TEXT = `
static int one(int a) { return a; }
int two(int a); int two(int a) { return a + 2; }
int elsewhere(int a);
DEFINE_STATIC_CALL(work, one);
STATIC_CALL_TARGET(work, two);
STATIC_CALL_TARGET(work, elsewhere);
static void say(void) {}
DEFINE_STATIC_CALL_NULL(trace, say);
int use(int a); int use(int a) { static_call_cond(trace)(); return static_call(work)(a) + 1; }
int last(int a); int last(int a) { return static_call(work)(a); }`;

let path: string;
let fixed: string;
beforeAll(() => {
  path = compile({ cc: 'gcc', text: TEXT }).path;
  fixed = compile({
    cc: 'gcc',
    text: `${TEXT}\nint elsewhere(int a) { return a; }\nint main(void) { return 0; }`,
    as: 'program',
    flags: ['-no-pie', '-fno-pic'],
  }).path;
});

const never = (): never => {
  throw new Error('nothing was told');
};
const bound = (elf: ElfObject): KeyDef[] => bindKeys(elf, findSites(elf));

/** The object with some of its bytes changed; sections are found by name. */
function damaged(
  change: (
    bytes: Uint8Array,
    view: DataView,
    section: (name: string) => Section,
    elf: ElfObject,
  ) => void,
  from = path,
): ElfObject {
  const bytes = new Uint8Array(readFileSync(from));
  const elf = readElf(bytes, from);
  change(bytes, new DataView(bytes.buffer), (name) => elf.section(name)!, elf);
  return readElf(bytes, from);
}
function refused(elf: ElfObject): { code: string; message: string; at: string | undefined } {
  try {
    bound(elf);
  } catch (error) {
    if (!isFault(error)) throw error;
    return { code: error.code, message: error.message, at: error.at };
  }
  throw new Error('it was accepted');
}
/** File offset of the relocation that fills the field at an address of the loaded object. */
function relocationAt(elf: ElfObject, address: number): number {
  const section = elf.section('.rela.dyn')!;
  const table = elf.relocations(section);
  for (let i = 0; i < table.count; i++)
    if (table.offset(i) === address) return section.offset + 24 * i;
  throw new Error('no relocation');
}
/** Row of a key in .static_call_keys: compilers choose the order. */
const rowOf = (elf: ElfObject, kind: number): number => {
  const data = elf.data(elf.section('.static_call_keys')!);
  for (let row = 0; row * 48 < data.length; row++) if (data[row * 48 + 44] === kind) return row;
  throw new Error('no such record');
};
const WORK = 0;
const TRACE = 1;

describe('keys', () => {
  it('are what the header recorded, joined with the sites', () => {
    const keys = bound(readElf(readFileSync(path)));
    expect(keys).toMatchObject([
      {
        name: 'trace',
        returns: 'void',
        initial: { kind: 'null' },
        targets: [],
        sites: [{ kind: 'call' }],
      },
      {
        name: 'work',
        returns: 'integer',
        initial: { kind: 'function', name: 'one' },
        targets: [{ name: 'elsewhere', address: null }, { name: 'one' }, { name: 'two' }],
        sites: [{ kind: 'call' }, { kind: 'jmp' }],
      },
    ]);
    for (const target of keys[1]!.targets) expect(target.slot).toBeGreaterThan(0);
  });

  it('are emptied, and return 0, where the program declares it, wherever it does', () => {
    const other = compile({
      cc: 'gcc',
      as: 'object',
      flags: ['-fPIC'],
      text: `
int one(int);
DECLARE_STATIC_CALL(work, one);
STATIC_CALL_TARGET_RET0(work);
void tell(void *);
#define STATIC_CALL_EXPORTED_told 1
DECLARE_STATIC_CALL(told, tell);
STATIC_CALL_TARGET_NULL(told);
STATIC_CALL_TARGET_NULL(told);`,
    });
    const { elf } = compile({
      cc: 'gcc',
      flags: [other.path],
      text: `
int one(int a); int one(int a) { return a; }
void *allocate(unsigned long n); void *allocate(unsigned long n) { (void)n; return 0; }
void release(void *p); void release(void *p) { (void)p; }
DEFINE_STATIC_CALL(work, one);
DEFINE_STATIC_CALL(alloc, allocate);
DEFINE_STATIC_CALL(free, release);
DEFINE_STATIC_CALL_RET0(filter, one);
DEFINE_STATIC_CALL_NULL(trace, release);
int use(int a); int use(int a) { return static_call(work)(a); }`,
    });
    expect(bound(elf).map((key) => [key.name, accepted(key)])).toEqual([
      ['alloc', ['allocate']],
      ['filter', ['ret0']],
      ['free', ['release']],
      ['told', [null]],
      ['trace', [null]],
      ['work', ['one', 'ret0']],
    ]);
  });

  it('of an object that was built by the first version of the header take what their type allows', () => {
    const elf = damaged((bytes, _view, section) => {
      const { offset, size } = section('.static_call_keys');
      for (let at = offset + 40; at < offset + size; at += 48) bytes[at] = 1;
    });
    expect(bound(elf).map(accepted)).toEqual([[null], ['elsewhere', 'one', 'two', 'ret0']]);
    expect(bound(readElf(readFileSync(path))).map(accepted)).toEqual([
      [null],
      ['elsewhere', 'one', 'two'],
    ]);
  });

  it('are the same in a program at a fixed address, which has no relocations', () => {
    expect(bound(readElf(readFileSync(fixed)))).toMatchObject([
      { name: 'trace' },
      {
        name: 'work',
        initial: { name: 'one' },
        targets: [{ name: 'elsewhere' }, { name: 'one' }, { name: 'two' }],
      },
    ]);
  });

  it('and their sites are found in a stripped file too, with a table or without', () => {
    const known = bound(readElf(readFileSync(path))).map(({ name, sites }) => [
      name,
      sites.map((s) => s.at),
    ]);
    const plain = place('plain.so');
    const annotated = place('annotated.so');
    execFileSync('strip', [path, '-o', plain]);
    writeFileSync(annotated, annotate(readElf(new Uint8Array(readFileSync(path)))).bytes!);
    execFileSync('strip', [annotated]);
    for (const file of [plain, annotated]) {
      const elf = readElf(new Uint8Array(readFileSync(file)));
      expect(elf.symbols).toBeNull();
      expect(keysOf(elf).map(({ name, sites }) => [name, sites.map((s) => s.at)])).toEqual(known);
    }
    expect(
      readElf(new Uint8Array(readFileSync(annotated))).section('.static_call_sites'),
    ).toBeDefined();
  });

  it('and so do inspect and annotate, also in a program that has no symbols at all', async () => {
    const alone = compile({
      cc: 'gcc',
      text: `${TEXT}\nint elsewhere(int a) { return a; }\nint main(void) { return 0; }`,
      as: 'program',
      flags: ['-static', '-no-pie', '-fno-pic'],
    }).path;
    for (const from of [path, alone]) {
      const stripped = place('stripped');
      execFileSync('strip', [from, '-o', stripped]);
      const bytes = new Uint8Array(readFileSync(stripped));
      const told = async (file: string) => {
        const [{ sites, keys, trampolines, faults } = never()] = await inspectInput({
          path: file,
          bytes: new Uint8Array(readFileSync(file)),
        });
        return {
          sites: sites.map(({ address, key, kind }) => [address, key, kind]),
          keys: keys.map(({ name, trampoline, target }) => [name, trampoline, target]),
          trampolines: trampolines
            .map(({ key, address, section, sites }) => [key, address, section, sites])
            .sort(),
          faults,
        };
      };
      const whole = await told(from);
      expect(whole.sites).toHaveLength(3);
      expect(await told(stripped)).toEqual(whole);
      const elf = readElf(bytes);
      const annotated = readElf(annotate(elf, { declared: declaredKeys(elf) }).bytes!);
      expect(keysOf(annotated).map(({ name, sites }) => [name, sites.map((s) => s.at)])).toEqual(
        keysOf(elf).map(({ name, sites }) => [name, sites.map((s) => s.at)]),
      );
      expect(sitesSections(annotated)).toHaveLength(1);
    }
  });

  it('of an object without records come from its symbols', () => {
    // What any header with the kernel's layout makes.
    const { elf } = compile({
      cc: 'gcc',
      text: `
struct static_call_key __SCK__old = { 0, 0 };
int target(int a); int target(int a) { return a; }
int __SCT__old(int a) __attribute__((visibility("hidden")));
__asm__(".pushsection .static_call.text,\\"ax\\"\\n.balign 8\\n.globl __SCT__old\\n.type __SCT__old,@function\\n__SCT__old: jmp target\\n.byte 0x0f,0xb9,0xcc\\n.size __SCT__old,8\\n.popsection");
int use(int a); int use(int a) { return __SCT__old(a) + 1; }`,
    });
    expect(bound(elf)).toMatchObject([
      {
        name: 'old',
        returns: null,
        targets: [],
        initial: { kind: 'function', name: 'target' },
        sites: [{ kind: 'call' }],
      },
    ]);
  });

  it('of a relocatable object have no addresses', () => {
    expect(refused(compile({ cc: 'gcc', text: TEXT, as: 'object' }).elf)).toMatchObject({
      code: 'not-linked',
    });
  });
});

describe('a file that lies is refused', () => {
  it('a section whose size is no whole number of records', () => {
    expect(
      refused(
        damaged((bytes, view, section) => {
          const headers = Number(view.getBigUint64(40, true));
          const at = headers + 64 * section('.static_call_keys').index + 32;
          view.setBigUint64(at, view.getBigUint64(at, true) - 8n, true);
        }),
      ),
    ).toEqual({
      code: 'bad-keys-section',
      message: '88 bytes are no whole number of records of 48',
      at: '.static_call_keys',
    });
  });
  it.each([
    ['of another version', 40, 7, /^it is of version 7; this program reads 1 and 2$/],
    ['of an unknown kind', 44, 9, /^its initial kind is 9; known are 0 to 2$/],
    ['of an unknown return class', 45, 9, /^its return class is 9; known are 0 to 3$/],
  ])('a record %s', (_what, field, value, message) => {
    const {
      code,
      message: said,
      at,
    } = refused(
      damaged((bytes, _view, section) => {
        bytes[section('.static_call_keys').offset + 48 + field] = value;
      }),
    );
    expect({ code, at }).toEqual({ code: 'bad-keys-section', at: '.static_call_keys+0x30' });
    expect(said).toMatch(message);
  });
  it.each([
    ['a key at an address that is no data', 0, 0x10, /is not aligned writable data/],
    ['a name that leads nowhere', 24, 0x7fff_0000, /^its name at 0x7fff0000 is no name$/],
    ['a name that is no text', 24, 0, /is no name/],
  ])('%s', (_what, field, value, message) => {
    const { code, message: said } = refused(
      damaged((_bytes, view, section, elf) => {
        view.setBigInt64(
          relocationAt(elf, section('.static_call_keys').address + field) + 16,
          BigInt(value),
          true,
        );
      }),
    );
    expect(code).toBe('bad-keys-section');
    expect(said).toMatch(message);
  });
  it('a key without a trampoline', () => {
    const fault = refused(
      damaged((_bytes, view, section, elf) => {
        view.setBigInt64(
          relocationAt(elf, section('.static_call_keys').address + 48 * rowOf(elf, WORK) + 8) + 16,
          0n,
          true,
        );
      }),
    );
    expect(fault).toMatchObject({ code: 'no-trampoline', message: 'key work has no trampoline' });
  });
  it('a trampoline that is none', () => {
    const fault = refused(
      damaged((bytes, _view, _section, elf) => {
        const at = elf.symbols!.value(elf.symbols!.find('__SCT__work'));
        bytes[elf.fileOffset(at) + 7] = 0;
      }),
    );
    expect(fault).toMatchObject({
      code: 'bad-trampoline',
      message: 'the trampoline of key work holds other bytes than a trampoline',
    });
  });
  it('a record that says empty of a key that is not', () => {
    const fault = refused(
      damaged((bytes, _view, section, elf) => {
        bytes[section('.static_call_keys').offset + 48 * rowOf(elf, TRACE) + 44] = 2;
      }),
    );
    expect(fault).toMatchObject({
      code: 'bad-trampoline',
      message: 'key trace is recorded as not empty, but its trampoline is a ret',
    });
  });
  it('a key that may be empty, though its functions return a value', () => {
    const { path } = compile({
      cc: 'gcc',
      text: `${TEXT}\nSTATIC_CALL_TARGET_NULL(trace);`,
    });
    const fault = refused(
      damaged((bytes, _view, section, elf) => {
        bytes[section('.static_call_keys').offset + 48 * rowOf(elf, TRACE) + 45] = 2;
      }, path),
    );
    expect(fault).toMatchObject({
      code: 'bad-keys-section',
      message: 'key trace is permitted null, and its functions return integer',
    });
  });
  it('a target that is no code', () => {
    const fault = refused(
      damaged((_bytes, view, section, elf) => {
        for (let row = 0; row < 3; row++) {
          const at = relocationAt(elf, section('.static_call_targets').address + 32 * row + 8);
          if (Number(view.getBigUint64(at + 8, true) & 0xffff_ffffn) === 8)
            view.setBigInt64(at + 16, BigInt(section('.static_call_keys').address), true);
        }
      }),
    );
    expect(fault).toMatchObject({ code: 'bad-keys-section' });
    expect(fault.message).toMatch(/^target one of key work at 0x[0-9a-f]+ is no code$/);
  });
  it('a key whose symbol is elsewhere', () => {
    const fault = refused(
      damaged((_bytes, view, _section, elf) => {
        const symbols = elf.symbols!;
        const at = symbols.section.offset + 24 * symbols.find('__SCK__work') + 8;
        view.setBigUint64(at, view.getBigUint64(at, true) + 16n, true);
      }),
    );
    expect(fault.code).toBe('bad-keys-section');
    expect(fault.message).toMatch(
      /^key work is at 0x[0-9a-f]+ by its record and at 0x[0-9a-f]+ by its symbol$/,
    );
  });
  it('two functions of one name', () => {
    const other = compile({
      cc: 'gcc',
      as: 'object',
      text: 'int two(int);\nDECLARE_STATIC_CALL(work, two);\nstatic int one(int a) { return a - 1; }\nSTATIC_CALL_TARGET(work, one);',
    });
    const { elf } = compile({ cc: 'gcc', text: TEXT, flags: [other.path] });
    expect(refused(elf)).toMatchObject({
      code: 'ambiguous-target',
      message: 'two functions called one are declared for key work',
    });
  });
  it('a target that is called as the order to return 0 is', () => {
    const { elf } = compile({
      cc: 'gcc',
      text: 'int ret0(int a); int ret0(int a) { return a; }\nDEFINE_STATIC_CALL(work, ret0);',
    });
    expect(refused(elf)).toMatchObject({ code: 'ambiguous-target' });
  });
  it('and whatever is damaged is refused by a Fault, or read', () => {
    // Every byte of the sections and of their relocations, one at a time.
    const plain = readElf(readFileSync(path));
    const places: number[] = [];
    for (const name of ['.static_call_keys', '.static_call_targets', '.rela.dyn']) {
      const { offset, size } = plain.section(name)!;
      for (let i = 0; i < size; i++) places.push(offset + i);
    }
    let faults = 0;
    for (const [i, place] of places.entries()) {
      const elf = damaged((bytes) => void (bytes[place]! ^= 1 << (i % 8)));
      try {
        bound(elf);
      } catch (error) {
        if (!isFault(error)) throw error;
        faults++;
      }
    }
    expect(faults).toBeGreaterThan(places.length / 10);
  });
});
