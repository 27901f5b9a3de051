// Files that are not what they seem: each is read, or refused with what it is and what to do. "No
// sites" with status 0 is the answer only where there are none.

import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clang, Folder, gcc, must, tool } from '../build.js';
import { line, type Said } from '../cli/line.js';
import { elf, FLAGS, smallLinked, smallObject } from '../elf/builder.mjs';
import { buildGzipImage, buildKernel } from './kernel-image.mjs';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());
const inspect = (...words: string[]): Promise<Said> => line(['inspect', ...words]);

const SOURCE = `#include <static_call.h>
int one(int a); int one(int a) { return a + 1; }
DEFINE_STATIC_CALL(work, one);
int use(int a); int use(int a) { return static_call(work)(a) * 2; }
int tail(int a); int tail(int a) { return static_call(work)(a); }
`;
/** Compiles SOURCE: `make('gcc', 'x.o', '-c')`. */
const make = (compiler: string, name: string, ...flags: string[]): string => {
  folder.write('source.c', SOURCE);
  must(compiler, [
    '-O2',
    '-fPIC',
    '-Iinclude',
    folder.file('source.c'),
    ...flags,
    '-o',
    folder.file(name),
  ]);
  return folder.file(name);
};
const copy = (from: string, name: string, ...flags: string[]): string => {
  must('objcopy', [...flags, from, folder.file(name)]);
  return folder.file(name);
};
const llvmObjcopy = tool('llvm-objcopy', 'llvm-objcopy-14', 'llvm-objcopy-19');
const lld = tool('ld.lld', 'ld.lld-14', 'ld.lld-19');

/** Every command that reads a file refuses it so. */
async function refusedByAll(file: string, code: string, said: RegExp): Promise<void> {
  for (const command of ['inspect', 'types', 'annotate']) {
    const { status, stdout, stderr } = await line([command, file]);
    expect({ command, status }).toEqual({ command, status: 3 });
    expect(stderr).toContain(`error[${code}]`);
    expect(stderr).toMatch(said);
    expect(stdout).not.toMatch(/no sites/);
  }
}

describe.skipIf(!gcc)('a table that lists some of the sites only', () => {
  it('of annotated and plain objects in one link: every site is found, and the answer says so', async () => {
    const listed = make('gcc', 'listed.o', '-c');
    expect((await line(['annotate', listed])).status).toBe(0);
    folder.write(
      'plain.c',
      SOURCE.replace('DEFINE_STATIC_CALL(work, one)', 'DECLARE_STATIC_CALL(work, one)')
        .replaceAll(/\b(one|use|tail)\(int/g, '$1_b(int')
        .replaceAll('work, one', 'work, one_b')
        .replace('int one_b(int a) { return a + 1; }', ''),
    );
    must('gcc', [
      '-O2',
      '-fPIC',
      '-Iinclude',
      '-c',
      folder.file('plain.c'),
      '-o',
      folder.file('plain.o'),
    ]);
    for (const [name, flags] of [
      ['mixed.so', ['-shared']],
      ['mixed.o', ['-r']],
    ] as const) {
      must('gcc', [...flags, '-nostdlib', listed, folder.file('plain.o'), '-o', folder.file(name)]);
      const said = await inspect(folder.file(name));
      expect(said).toMatchObject({ status: 0, stderr: '' });
      expect(said.stdout).toContain('4 sites, 1 key');
      expect(said.stdout).toContain('its table lists 2 of 4 sites; annotate --force completes it');
      const { files } = JSON.parse((await inspect('--json', folder.file(name))).stdout) as {
        files: { remark?: string; sites: { function: string }[] }[];
      };
      expect(files[0]?.sites.map((site) => site.function).sort()).toEqual([
        'tail',
        'tail_b',
        'use',
        'use_b',
      ]);
      expect(files[0]?.remark).toContain('2 of 4');
      expect((await line(['annotate', '--force', folder.file(name)])).status).toBe(0);
      expect((await inspect(folder.file(name))).stdout).not.toContain('note');
    }
  });

  it('whose code was moved by another tool: the entry is refused, and the site found where it is', async () => {
    const so = make('gcc', 'moved.so', '-shared');
    await line(['annotate', so]);
    // The call of use() is moved by a byte, over the byte before it: the entry names what is now in the middle of it.
    const bytes = folder.read('moved.so');
    const { files } = JSON.parse((await inspect('--json', so)).stdout) as {
      files: { sites: { function: string; bytes: string; address: string }[] }[];
    };
    const use = files[0]?.sites.find((site) => site.function === 'use');
    const at = bytes.indexOf(Buffer.from(use!.bytes.replaceAll(' ', ''), 'hex'));
    // Where it leads is changed: to the function itself, which is no trampoline.
    bytes.writeInt32LE(bytes.readInt32LE(at + 1) - 0x10, at + 1);
    const said = await inspect(folder.write('moved2.so', bytes));
    expect(said.status).toBe(3);
    expect(said.stderr).toContain('a call that does not lead to the trampoline of work');
    expect(said.stdout).toContain('1 site, 1 key');
  });
});

describe('relocations in a form that is not read', () => {
  const typed = (name: string, type: number): Buffer => {
    const bytes = smallObject();
    const [at, strings] = [Number(bytes.readBigUInt64LE(40)), bytes.readUInt16LE(62)];
    const names = Number(bytes.readBigUInt64LE(at + strings * 64 + 24));
    for (let header = at; header < bytes.length; header += 64) {
      const start = names + bytes.readUInt32LE(header);
      if (bytes.toString('latin1', start, start + name.length + 1) === `${name}\0`)
        bytes.writeUInt32LE(type, header + 4);
    }
    return bytes;
  };
  it.each([
    ['SHT_CREL', 0x40000014],
    ['SHT_REL', 9],
    ['SHT_ANDROID_RELA', 0x60000002],
    ['SHT_ANDROID_REL', 0x60000001],
  ])('%s over code is refused by name, by inspect and annotate', async (name, type) => {
    const file = folder.write(`${name}.o`, typed('.rela.text', type));
    for (const command of ['inspect', 'annotate']) {
      const said = await line([command, file]);
      expect(said.status).toBe(3);
      expect(said.stderr).toMatch(new RegExp(`^error\\[bad-elf\\]: ${name}\\b.*are not read`));
      expect(said.stderr).toMatch(/at .*\.rela\.text/);
    }
  });
  it('SHT_REL over something else is none of our business', async () => {
    // As .rel.llvm.call-graph-profile, in every object of clang -flto=thin with a profile.
    const file = folder.write('profile.o', typed('.rela.data', 9));
    expect(await inspect(file)).toMatchObject({ status: 0, stderr: '' });
  });
  it('a relocation of a trampoline of a kind that came after this program is refused', async () => {
    const bytes = smallObject();
    const at = bytes.indexOf(Buffer.from([9, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0]));
    bytes.writeUInt32LE(50, at + 8);
    const said = await inspect(folder.write('kind50.o', bytes));
    expect(said.status).toBe(3);
    expect(said.stderr).toContain(
      'error[bad-elf]: relocation type 50 of a trampoline is not known',
    );
  });
  it.skipIf(!lld)('--pack-dyn-relocs=android is named; relr is read', async () => {
    const link = (kind: string) =>
      make('gcc', `${kind}.so`, '-shared', '-B', folder.path, `-Wl,--pack-dyn-relocs=${kind}`);
    must('ln', ['-sf', must('sh', ['-c', `command -v ${lld}`]).trim(), folder.file('ld')]);
    await refusedBy(['inspect', 'types'], link('android'), 'bad-elf', /SHT_ANDROID_RELA, packed/);
    const said = await line(['types', link('relr')]);
    expect(said).toMatchObject({ status: 0, stderr: '' });
    expect(said.stdout).toContain("readonly work: 'one'");
  });
  it.skipIf(!lld || !clang)(
    '-fno-plt under relr: a call through a slot that relr fills is a site',
    async () => {
      const so = make(
        clang!,
        'slots.so',
        '-shared',
        '-fno-plt',
        '-fuse-ld=lld',
        '-Wl,--pack-dyn-relocs=relr,--no-relax',
      );
      expect((await inspect(so)).stdout).toContain('2 sites, 1 key');
    },
  );
});

async function refusedBy(
  commands: readonly string[],
  file: string,
  code: string,
  said: RegExp,
): Promise<void> {
  for (const command of commands) {
    const { status, stderr } = await line([command, file]);
    expect({ command, status }).toEqual({ command, status: 3 });
    expect(stderr).toContain(`error[${code}]`);
    expect(stderr).toMatch(said);
  }
}

describe('an ELF file that is larger, smaller or another than most', () => {
  it('with more program headers than e_phnum can say: the count is in section 0', async () => {
    const bytes = smallLinked();
    const headers = Number(bytes.readBigUInt64LE(40));
    const count = bytes.readUInt16LE(56);
    bytes.writeUInt16LE(0xffff, 56);
    bytes.writeUInt32LE(count, headers + 44);
    expect((await inspect(folder.write('xnum.so', bytes))).stdout).toContain('3 sites, 2 keys');
    bytes.writeBigUInt64LE(0n, 40);
    const said = await inspect(folder.write('xnum0.so', bytes));
    expect(said.status).toBe(3);
    expect(said.stderr).toContain('said to be in section 0, and there are no sections');
  });
  it('with more sections than e_shnum can say', async () => {
    const said = await inspect(folder.write('many.o', smallObject({ extraSections: 0xff10 })));
    expect(said).toMatchObject({ status: 0, stderr: '' });
    expect(said.stdout).toContain('3 sites');
  });
  it('whose section headers were stripped: says that it has none', async () => {
    const bytes = smallLinked();
    bytes.writeBigUInt64LE(0n, 40);
    bytes.writeUInt16LE(0, 60);
    await refusedByAll(
      folder.write('headerless.so', bytes),
      'bad-elf',
      /no section headers.*\n.*strip --strip-sections/s,
    );
  });
  it.skipIf(!gcc || !llvmObjcopy)('after llvm-objcopy --strip-sections the same', async () => {
    must(llvmObjcopy!, [
      '--strip-sections',
      make('gcc', 'whole.so', '-shared'),
      folder.file('stripped.so'),
    ]);
    await refusedByAll(folder.file('stripped.so'), 'bad-elf', /no section headers/);
  });
  it.skipIf(!gcc)('that holds the debug information of another: says so', async () => {
    const debug = copy(make('gcc', 'debugged.so', '-shared', '-g'), 'x.debug', '--only-keep-debug');
    await refusedByAll(debug, 'bad-elf', /debug information, and its code is in another file/);
  });
  it.each(['.symtab', '.strtab', '.static_call_sites', '.shstrtab'])(
    'whose %s is compressed: says so',
    async (name) => {
      const bytes = Buffer.from(annotated());
      const [at, strings] = [Number(bytes.readBigUInt64LE(40)), bytes.readUInt16LE(62)];
      const names = Number(bytes.readBigUInt64LE(at + strings * 64 + 24));
      for (let i = 0, header = at; i < bytes.readUInt16LE(60); i++, header += 64) {
        const start = names + bytes.readUInt32LE(header);
        if (bytes.toString('latin1', start, start + name.length + 1) === `${name}\0`)
          bytes.writeUInt32LE(bytes.readUInt32LE(header + 8) | 0x800, header + 8);
      }
      const said = await inspect(folder.write(`compressed${name}`, bytes));
      expect(said.status).toBe(3);
      expect(said.stderr).toMatch(/error\[bad-elf\]: .*compressed/);
      expect(said.stderr).toContain('--decompress');
    },
  );
  const annotated = (): Buffer =>
    elf({
      sections: [
        {
          name: '.text',
          flags: FLAGS.alloc | FLAGS.exec,
          data: Uint8Array.of(0xe8, 0, 0, 0, 0),
          relocations: [{ at: 1, type: 4, symbol: 2, addend: -4 }],
        },
        {
          name: '.static_call_sites',
          flags: FLAGS.alloc,
          data: new Uint8Array(8),
          relocations: [
            { at: 0, type: 2, symbol: 1 },
            { at: 4, type: 2, symbol: 2 },
          ],
        },
      ],
      symbols: [
        { type: 3, section: 1 },
        { name: '__SCT__a', bind: 1 },
      ],
    });
  it.skipIf(!gcc)('of gcc -flto: says that its code is made by the link', async () => {
    const slim = make('gcc', 'slim.o', '-c', '-flto', '-fno-fat-lto-objects');
    await refusedBy(
      ['inspect', 'types', 'annotate'],
      slim,
      'not-linked',
      /intermediate code and no machine code/,
    );
    const fat = make('gcc', 'fat.o', '-c', '-flto', '-ffat-lto-objects');
    expect((await inspect(fat)).stdout).toContain('2 sites');
  });
  it.skipIf(!clang)('of clang -flto: says that it is LLVM bitcode', async () => {
    await refusedByAll(
      make(clang!, 'bitcode.o', '-c', '-flto'),
      'not-elf',
      /LLVM bitcode.*give the linked file/s,
    );
  });
  it.skipIf(!gcc)('of -mcmodel=large: says why no call of it is a site', async () => {
    for (const command of ['inspect', 'annotate'])
      for (const flags of [['-c'], ['-shared']]) {
        const file = make('gcc', `large${flags[0]}`, '-mcmodel=large', ...flags);
        const said = await line([command, file]);
        expect(said.status).toBe(0);
        expect(said.stdout + said.stderr).toContain(
          'calls by address, as -mcmodel=large makes them, go through it',
        );
      }
  });
  it.skipIf(!gcc || !tool('llvm-bolt', 'llvm-bolt-19'))(
    'of llvm-bolt: the hint names its flag',
    async () => {
      const bolt = tool('llvm-bolt', 'llvm-bolt-19')!;
      must(bolt, [
        make('gcc', 'base.so', '-shared', '-Wl,-q'),
        '-o',
        folder.file('bolted.so'),
        '-reorder-blocks=reverse',
      ]);
      const said = await line(['types', folder.file('bolted.so')]);
      expect(said.stderr).toContain("--skip-funcs='__SCT__.*'");
    },
  );
  it.skipIf(!gcc)(
    'whose trampolines a binary optimiser rewrote: the hint names the flag that keeps them',
    async () => {
      const bytes = readTrampolineless();
      const said = await line(['types', folder.write('rewritten.so', bytes)]);
      expect(said.status).toBe(3);
      expect(said.stderr).toMatch(
        /error\[bad-trampoline\].*\n.*\n.*hint: .*--skip-funcs='__SCT__\.\*'/,
      );
    },
  );
  const readTrampolineless = (): Buffer => {
    make('gcc', 'signed.so', '-shared');
    const bytes = folder.read('signed.so');
    for (let at = bytes.indexOf(SIGNATURE); at >= 0; at = bytes.indexOf(SIGNATURE, at))
      bytes.fill(0x90, at, at + 3);
    return bytes;
  };
  const SIGNATURE = Buffer.from([0x0f, 0xb9, 0xcc]);
});

describe('a file of another format', () => {
  it.each<[string, Uint8Array, string, RegExp]>([
    ['nothing', Buffer.alloc(0), 'not-elf', /the file is empty/],
    ['WebAssembly', Buffer.from('\0asm\x01\0\0\0'), 'not-elf', /a WebAssembly module/],
    ['Mach-O', Buffer.from([0xcf, 0xfa, 0xed, 0xfe, 7, 0, 0, 1]), 'not-elf', /a Mach-O file/],
    [
      'a Windows program',
      Buffer.concat([Buffer.from('MZ'), Buffer.alloc(100)]),
      'not-elf',
      /a PE file/,
    ],
    [
      'a script',
      Buffer.from('#!/bin/sh\nexec prog'),
      'not-elf',
      /a script.*give the program that it runs/s,
    ],
    ['an RPM', Buffer.from([0xed, 0xab, 0xee, 0xdb, 3, 0]), 'not-elf', /an RPM package/],
    ['a zip', Buffer.from('PK\x03\x04....'), 'not-elf', /a zip archive/],
    [
      'an arm64 kernel',
      Buffer.concat([Buffer.alloc(56), Buffer.from('ARM\x64')]),
      'not-elf',
      /an arm64 kernel/,
    ],
    [
      'i386',
      change(smallObject(), [
        [4, 1],
        [18, 3],
      ]),
      'wrong-class',
      /a 32-bit little-endian ELF for machine 3 \(i386\)/,
    ],
    ['AArch64', change(smallObject(), [[18, 183]]), 'wrong-class', /machine 183 \(AArch64\)/],
    [
      'big-endian PowerPC',
      change(smallObject(), [
        [5, 2],
        [18, 0],
        [19, 21],
      ]),
      'wrong-class',
      /64-bit big-endian ELF for machine 21 \(PowerPC64\)/,
    ],
    [
      'an object cut in half',
      smallObject().subarray(0, 500),
      'truncated-elf',
      /beyond the file's 500 bytes/,
    ],
    ['a few bytes of ELF', smallObject().subarray(0, 20), 'truncated-elf', /too few/],
  ])('%s is refused as what it is', async (name, bytes, code, said) => {
    await refusedByAll(folder.write(`format ${name}`, bytes), code, said);
    const packed = await inspect(folder.write(`packed ${name}`, gzipSync(bytes)));
    expect(packed.status).toBe(3);
    expect(packed.stderr).toMatch(said);
  });
  it('a core dump is memory to inspect, and no object to the others', async () => {
    const core = folder.write('core', change(smallObject(), [[16, 4]]));
    expect((await line(['inspect', core])).stderr).toContain('error[bad-core]');
    for (const command of ['types', 'annotate'])
      expect((await line([command, core])).stderr).toMatch(/error\[bad-elf\].*a core dump/);
  });
  it('a directory is inspected, and refused by what takes files', async () => {
    folder.write('empty-is-no-object', '');
    for (const command of ['types', 'annotate'])
      expect(await line([command, folder.path])).toMatchObject({
        status: 3,
        stderr: expect.stringContaining('is a directory') as string,
      });
  });
});

function change(bytes: Buffer, edits: readonly (readonly [number, number])[]): Buffer {
  for (const [at, value] of edits) bytes[at] = value;
  return bytes;
}

describe('a kernel in a container', () => {
  const built = buildKernel({ keys: 4, sites: 12, kallsyms: { symbols: 20 } });
  let bzImage: Buffer;
  beforeAll(() => {
    bzImage = Buffer.from(buildGzipImage(built.bytes));
  });
  const found = async (name: string, bytes: Uint8Array): Promise<void> => {
    const said = await inspect(folder.write(name, bytes));
    expect(said).toMatchObject({ status: 0, stderr: '' });
    expect(said.stdout).toContain('image; 12 sites, 3 keys, 4 trampolines');
  };

  it('a unified kernel image is read', () => found('linux.efi', uki(bzImage)));
  it('an EFI zboot image is read', () => found('vmlinuz.efi', zboot(gzipSync(built.bytes))));
  it('a uImage is read', () => found('uImage', uImage(gzipSync(built.bytes))));
  it('a packed unified kernel image is read', () => found('linux.efi.gz', gzipSync(uki(bzImage))));
  it('a zboot image of another machine is named', async () => {
    const arm = Buffer.concat([Buffer.alloc(56), Buffer.from('ARM\x64'), Buffer.alloc(64)]);
    const said = await inspect(folder.write('arm.efi', zboot(gzipSync(arm))));
    expect(said).toMatchObject({
      status: 3,
      stderr: expect.stringContaining('the file is an arm64 kernel') as string,
    });
  });
  it('a container that is cut short is refused, wherever', async () => {
    for (const whole of [uki(bzImage), zboot(gzipSync(built.bytes)), uImage(gzipSync(built.bytes))])
      for (const length of [2, 60, 70, 100, 200, whole.length >> 1])
        expect((await inspect(folder.write('cut', whole.subarray(0, length)))).status).toBe(3);
  });
});

/** A PE header, two sections, the second of which is the kernel. */
function uki(kernel: Uint8Array): Buffer {
  const head = Buffer.alloc(0x200);
  head.write('MZ');
  head.writeUInt32LE(0x80, 0x3c);
  head.write('PE\0\0', 0x80);
  head.writeUInt16LE(0x8664, 0x84);
  head.writeUInt16LE(2, 0x86);
  head.writeUInt16LE(16, 0x94);
  head.write('.osrel\0\0', 0xa8);
  head.write('.linux\0\0', 0xd0);
  head.writeUInt32LE(kernel.length, 0xd8);
  head.writeUInt32LE(kernel.length + 100, 0xe0);
  head.writeUInt32LE(head.length, 0xe4);
  return Buffer.concat([head, kernel, Buffer.alloc(100)]);
}

function zboot(payload: Uint8Array): Buffer {
  const head = Buffer.alloc(64);
  head.write('MZ\0\0zimg', 'latin1');
  head.writeUInt32LE(head.length, 8);
  head.writeUInt32LE(payload.length, 12);
  head.write('gzip', 24);
  return Buffer.concat([head, payload]);
}

function uImage(payload: Uint8Array): Buffer {
  const head = Buffer.alloc(64);
  head.writeUInt32BE(0x27051956, 0);
  head.writeUInt32BE(payload.length, 12);
  return Buffer.concat([head, payload]);
}

describe('a static library', () => {
  const ar = (members: readonly (readonly [string, Uint8Array])[]): Buffer =>
    Buffer.concat([
      Buffer.from('!<arch>\n'),
      ...members.flatMap(([name, bytes]) => [
        Buffer.from(
          `${`${name}/`.padEnd(16)}${'0'.padEnd(12)}${'0'.padEnd(6)}${'0'.padEnd(6)}${'644'.padEnd(8)}${String(bytes.length).padEnd(10)}\`\n`,
        ),
        bytes,
        Buffer.alloc(bytes.length & 1, '\n'),
      ]),
    ]);
  it('in a static library is read', async () => {
    const inner = ar([['x.o', smallObject()]]);
    const said = await inspect(
      '--by',
      'site',
      folder.write(
        'outer.a',
        ar([
          ['inner.a', inner],
          ['y.o', smallObject()],
        ]),
      ),
    );
    expect(said).toMatchObject({ status: 0, stderr: '' });
    expect(said.stdout).toContain('2 files, 2 with sites; 6 sites');
    expect(said.stdout).toContain('outer.a(inner.a)(x.o):.text');
  });
  it('in itself without an end is refused', async () => {
    let bytes = ar([['x.o', smallObject()]]);
    for (let i = 0; i < 9; i++) bytes = ar([['deep.a', bytes]]);
    expect(await inspect(folder.write('deep.a', bytes))).toMatchObject({ status: 3 });
  });
  it('that is thin says how to get at its members', async () => {
    const thin = folder.write(
      'thin.a',
      Buffer.concat([Buffer.from('!<thin>\n'), ar([['x.o', smallObject()]]).subarray(8)]),
    );
    expect(await inspect(thin)).toMatchObject({
      status: 3,
      stderr: expect.stringContaining('ar t lists them') as string,
    });
  });
  it('with a member of LLVM bitcode tells of that one, and reads the others', async () => {
    const said = await inspect(
      folder.write(
        'lto.a',
        ar([
          ['b.o', Buffer.from('BC\xc0\xde....', 'latin1')],
          ['x.o', smallObject()],
          ['note.txt', Buffer.from('hello')],
        ]),
      ),
    );
    expect(said.status).toBe(3);
    expect(said.stderr).toMatch(/LLVM bitcode\n {2}at .*lto\.a\(b\.o\)/);
    expect(said.stdout).toContain('3 sites');
  });
  it('without an object, as a Debian package is one, is no answer of "no sites"', async () => {
    const deb = folder.write(
      'x.deb',
      ar([
        ['debian-binary', Buffer.from('2.0\n')],
        ['data.tar.xz', Buffer.from('\xfd7zXZ\0..', 'latin1')],
      ]),
    );
    expect(await inspect(deb)).toMatchObject({
      status: 3,
      stderr: expect.stringContaining('an archive of 2 files, and none is an object') as string,
    });
  });
});

it('the only thing that answers "no sites" with status 0 is a file without any', async () => {
  const none = folder.write(
    'none.o',
    elf({
      sections: [{ name: '.text', flags: FLAGS.alloc | FLAGS.exec, data: Uint8Array.of(0xc3) }],
    }),
  );
  expect(await inspect(none)).toMatchObject({ status: 0, stderr: '' });
  expect(await line(['annotate', none])).toMatchObject({
    status: 0,
    stdout: expect.stringContaining('no sites') as string,
  });
});
