// ELF files from a description, byte by byte and without the code under test: what the writer makes
// is held against what this makes. Used by tests and by the fuzzer, which runs without a build step
// and therefore in plain JavaScript.

const align = (n, to) => Math.ceil(n / to) * to;

/** A string table: `add` returns where a string begins. */
class Strings {
  parts = ['\0'];
  length = 1;
  known = new Map([['', 0]]);
  add(text) {
    let at = this.known.get(text);
    if (at === undefined) {
      this.known.set(text, (at = this.length));
      this.parts.push(`${text}\0`);
      this.length += Buffer.byteLength(text) + 1;
    }
    return at;
  }
  bytes() {
    return Buffer.from(this.parts.join(''), 'utf8');
  }
}

export const TYPES = {
  null: 0,
  progbits: 1,
  symtab: 2,
  strtab: 3,
  rela: 4,
  nobits: 8,
  group: 17,
  shndx: 18,
};
export const FLAGS = { write: 1, alloc: 2, exec: 4, infoLink: 0x40, group: 0x200 };

/**
 * @param {{
 *   type?: 'relocatable' | 'shared' | 'executable',
 *   sections: { name: string, type?: number, flags?: number, address?: number, data?: Uint8Array, size?: number, align?: number, entrySize?: number, link?: number, info?: number,
 *     relocations?: { at: number, type: number, symbol: number, addend?: number }[] }[],
 *   symbols?: { name?: string, bind?: number, type?: number, section?: number, value?: number, size?: number, visibility?: number }[],
 *   segments?: boolean,
 * }} description Sections are numbered from 1 in the order given; symbols from 1, locals first.
 * @returns {Buffer}
 */
export function elf({
  type = 'relocatable',
  sections,
  symbols = [],
  segments = type !== 'relocatable',
}) {
  const names = new Strings();
  const strings = new Strings();
  const out = sections.map((s) => ({
    type: TYPES.progbits,
    flags: 0,
    address: 0,
    data: new Uint8Array(0),
    align: 1,
    entrySize: 0,
    link: 0,
    info: 0,
    ...s,
  }));
  const count = out.length + 1;
  const symtabIndex = count + out.filter((s) => s.relocations).length;
  for (const [i, section] of sections.entries()) {
    if (!section.relocations) continue;
    const data = Buffer.alloc(section.relocations.length * 24);
    for (const [k, r] of section.relocations.entries()) {
      data.writeBigInt64LE(BigInt(r.at), k * 24);
      data.writeUInt32LE(r.type, k * 24 + 8);
      data.writeUInt32LE(r.symbol, k * 24 + 12);
      data.writeBigInt64LE(BigInt(r.addend ?? 0), k * 24 + 16);
    }
    out.push({
      name: `.rela${section.name}`,
      type: TYPES.rela,
      flags: FLAGS.infoLink,
      address: 0,
      data,
      align: 8,
      entrySize: 24,
      link: symtabIndex,
      info: i + 1,
    });
  }
  const table = Buffer.alloc((symbols.length + 1) * 24);
  const wide = Buffer.alloc((symbols.length + 1) * 4);
  let locals = 1;
  let needsWide = false;
  for (const [i, s] of symbols.entries()) {
    const at = (i + 1) * 24;
    const section = s.section ?? 0;
    if ((s.bind ?? 0) === 0) locals = i + 2;
    table.writeUInt32LE(strings.add(s.name ?? ''), at);
    table[at + 4] = ((s.bind ?? 0) << 4) | (s.type ?? 0);
    table[at + 5] = s.visibility ?? 0;
    if ((section >= 0xff00 && section < 0xfff1) || section > 0xffff) {
      needsWide = true;
      table.writeUInt16LE(0xffff, at + 6);
      wide.writeUInt32LE(section, (i + 1) * 4);
    } else table.writeUInt16LE(section, at + 6);
    table.writeBigInt64LE(BigInt(s.value ?? 0), at + 8);
    table.writeBigInt64LE(BigInt(s.size ?? 0), at + 16);
  }
  out.push({
    name: '.symtab',
    type: TYPES.symtab,
    flags: 0,
    address: 0,
    data: table,
    align: 8,
    entrySize: 24,
    link: symtabIndex + 1,
    info: locals,
  });
  out.push({
    name: '.strtab',
    type: TYPES.strtab,
    flags: 0,
    address: 0,
    data: strings.bytes(),
    align: 1,
    entrySize: 0,
    link: 0,
    info: 0,
  });
  if (needsWide)
    out.push({
      name: '.symtab_shndx',
      type: TYPES.shndx,
      flags: 0,
      address: 0,
      data: wide,
      align: 4,
      entrySize: 4,
      link: symtabIndex,
      info: 0,
    });
  const namesIndex = out.length + 1;
  out.push({
    name: '.shstrtab',
    type: TYPES.strtab,
    flags: 0,
    address: 0,
    data: null,
    align: 1,
    entrySize: 0,
    link: 0,
    info: 0,
  });
  const nameAt = out.map((s) => names.add(s.name));
  out.at(-1).data = names.bytes();

  const loaded = segments
    ? out.filter((s) => s.flags & FLAGS.alloc && s.type !== TYPES.nobits)
    : [];
  let end = 64 + loaded.length * 56;
  const offsets = out.map((s) => {
    // A loaded section's offset agrees with its address modulo the page.
    const at =
      segments && s.flags & FLAGS.alloc
        ? align(end, 4096) + (((s.address % 4096) + 4096) % 4096)
        : align(end, s.align || 1);
    if (s.type !== TYPES.nobits) end = at + s.data.length;
    return at;
  });
  const headersAt = align(end, 8);
  const total = out.length + 1;
  const file = Buffer.alloc(headersAt + total * 64);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  file.writeUInt16LE({ relocatable: 1, executable: 2, shared: 3 }[type], 16);
  file.writeUInt16LE(62, 18);
  file.writeUInt32LE(1, 20);
  if (loaded.length > 0) file.writeBigUInt64LE(64n, 32);
  file.writeBigUInt64LE(BigInt(headersAt), 40);
  file.writeUInt16LE(64, 52);
  file.writeUInt16LE(56, 54);
  file.writeUInt16LE(loaded.length, 56);
  file.writeUInt16LE(64, 58);
  file.writeUInt16LE(total >= 0xff00 ? 0 : total, 60);
  file.writeUInt16LE(namesIndex >= 0xff00 ? 0xffff : namesIndex, 62);
  if (total >= 0xff00) file.writeBigUInt64LE(BigInt(total), headersAt + 32);
  if (namesIndex >= 0xff00) file.writeUInt32LE(namesIndex, headersAt + 40);
  for (const [i, s] of loaded.entries()) {
    const at = 64 + i * 56;
    file.writeUInt32LE(1, at);
    file.writeUInt32LE(
      4 | (s.flags & FLAGS.write ? 2 : 0) | (s.flags & FLAGS.exec ? 1 : 0),
      at + 4,
    );
    file.writeBigInt64LE(BigInt(offsets[out.indexOf(s)]), at + 8);
    file.writeBigInt64LE(BigInt(s.address), at + 16);
    file.writeBigInt64LE(BigInt(s.address), at + 24);
    file.writeBigInt64LE(BigInt(s.data.length), at + 32);
    file.writeBigInt64LE(BigInt(s.data.length), at + 40);
    file.writeBigInt64LE(4096n, at + 48);
  }
  for (const [i, s] of out.entries()) {
    const at = headersAt + (i + 1) * 64;
    if (s.type !== TYPES.nobits) file.set(s.data, offsets[i]);
    file.writeUInt32LE(nameAt[i], at);
    file.writeUInt32LE(s.type, at + 4);
    file.writeBigInt64LE(BigInt(s.flags), at + 8);
    file.writeBigInt64LE(BigInt(s.address), at + 16);
    file.writeBigInt64LE(BigInt(offsets[i]), at + 24);
    file.writeBigInt64LE(BigInt(s.size ?? s.data.length), at + 32);
    file.writeUInt32LE(s.link, at + 40);
    file.writeUInt32LE(s.info, at + 44);
    file.writeBigInt64LE(BigInt(s.align), at + 48);
    file.writeBigInt64LE(BigInt(s.entrySize), at + 56);
  }
  return file;
}

const SCT = [0x0f, 0xb9, 0xcc];

/**
 * A relocatable object: a caller with a call, a tail jump and a conditional one, and the trampoline
 * and key of one of its two keys.
 */
export function smallObject({ sectionSymbols = true, extraSections = 0 } = {}) {
  const text = Uint8Array.of(
    0x85,
    0xff,
    0x0f,
    0x84,
    0,
    0,
    0,
    0,
    0xe8,
    0,
    0,
    0,
    0,
    0xe9,
    0,
    0,
    0,
    0,
  );
  const padding = Array.from({ length: extraSections }, (_, i) => ({
    name: `.pad${i % 100}`,
    flags: 0,
  }));
  const base = extraSections;
  const locals = sectionSymbols
    ? [
        { type: 3, section: base + 1 },
        { type: 3, section: base + 2 },
      ]
    : [{ name: 'local.c', type: 4, section: 0xfff1 }];
  const first = locals.length + 1;
  const symbols = [
    ...locals,
    { name: 'f', bind: 1, type: 2, section: base + 1, value: 0, size: text.length },
    { name: '__SCT__a', bind: 1, type: 2, section: base + 2, value: 0, size: 8 },
    { name: '__SCT__b', bind: 1 },
    { name: '__SCK__a', bind: 1, type: 1, section: base + 3, size: 16 },
    { name: '__SCK__b', bind: 1 },
  ];
  const plt32 = (at, symbol) => ({ at, type: 4, symbol, addend: -4 });
  return elf({
    sections: [
      ...padding,
      {
        name: '.text',
        flags: FLAGS.alloc | FLAGS.exec,
        align: 16,
        data: text,
        relocations: [plt32(4, first + 1), plt32(9, first + 2), plt32(14, first + 1)],
      },
      {
        name: '.static_call.text',
        flags: FLAGS.alloc | FLAGS.exec,
        align: 4,
        data: Uint8Array.of(0xe9, 0, 0, 0, 0, ...SCT),
        relocations: [plt32(1, first)],
      },
      {
        name: '.data',
        flags: FLAGS.alloc | FLAGS.write,
        align: 8,
        data: new Uint8Array(16),
        relocations: [{ at: 0, type: 1, symbol: first }],
      },
    ],
    symbols,
  });
}

/** A linked file of the same shape, at an address of either half. */
export function smallLinked(base = 0x1000) {
  const text = Buffer.alloc(0x40, 0x90);
  text.set([0x85, 0xff, 0x0f, 0x84, 0, 0, 0, 0, 0xe8, 0, 0, 0, 0, 0xe9, 0, 0, 0, 0]);
  text.set([0xe9, 0, 0, 0, 0, ...SCT], 0x20);
  text.set([0xc3, 0xcc, 0xcc, 0xcc, 0xcc, ...SCT], 0x28);
  text.writeInt32LE(0x20 - 8, 4);
  text.writeInt32LE(0x28 - 13, 9);
  text.writeInt32LE(0x20 - 18, 14);
  text.writeInt32LE(0 - 0x25, 0x21);
  return elf({
    type: 'shared',
    sections: [
      { name: '.text', flags: FLAGS.alloc | FLAGS.exec, address: base, align: 16, data: text },
      {
        name: '.data',
        flags: FLAGS.alloc | FLAGS.write,
        address: base + 0x2000,
        align: 8,
        data: new Uint8Array(32),
      },
    ],
    symbols: [
      { name: 'f', bind: 1, type: 2, section: 1, value: base, size: 18 },
      { name: '__SCT__a', bind: 1, type: 2, section: 1, value: base + 0x20, size: 8 },
      { name: '__SCT__b', bind: 1, type: 2, section: 1, value: base + 0x28, size: 8 },
      { name: '__SCK__a', bind: 1, type: 1, section: 2, value: base + 0x2000, size: 16 },
      { name: '__SCK__b', bind: 1, type: 1, section: 2, value: base + 0x2010, size: 16 },
    ],
  });
}
