// A small kernel in memory: text with sites, trampolines, keys, a module, kallsyms, BTF, VMCOREINFO
// and page tables; and the dumps that hold it. Written from the descriptions of the formats, so that
// a test says what is there and does not recompute it.

import { deflateSync } from 'node:zlib';

const PAGE = 4096;
/** As a kernel lies that was slid by 16 MB. */
export const SLIDE = 0x100_0000;
const TEXT = -0x7f00_0000 + SLIDE;
const PHYSICAL = 0x0200_0000;
const DIRECT = -0x7780_0000_0000;
const MODULE = -0x4000_0000;
/** Everything but the image: tables, the module, what was allocated. */
const LOW = 0x10_0000;

/** Offsets within the image. */
const AT = {
  functions: 0x100,
  sites: 0x1000,
  branches: 0x2000,
  trampolines: 0x3000,
  etext: 0x4000,
  keys: 0x4000,
  tracepoint: 0x4800,
  mutex: 0x4900,
  staticMutex: 0x4940,
  modules: 0x4980,
  table: 0x4a00,
  jumpTable: 0x5000,
  switches: 0x5800,
  jumpMutex: 0x5c00,
  info: 0x6000,
  init: 0x7000,
  initEnd: 0x8000,
  kallsyms: 0x8000,
  btf: 0xc000,
  end: 0xe000,
};

export const FUNCTIONS = [
  '__static_call_return0',
  '__static_call_return',
  '__x86_return_thunk',
  'first_target',
  'second_target',
  '__traceiter_event',
  'probe_event',
];

/** Keys of the kernel: what each holds, and the kinds of its sites. */
const KEYS = [
  { name: 'called', func: 'first_target', sites: ['call', 'call', 'jmp', 'jcc', 'init'] },
  { name: 'empty', func: null, sites: ['call', 'jmp', 'thunk'] },
  { name: 'zero', func: '__static_call_return0', sites: ['call', 'jmp'] },
  { name: 'tp_func_event', func: 'probe_event', sites: ['call'] },
  { name: 'lsm_static_call_file_open_0', func: 'first_target', sites: ['call'] },
  { name: 'lsm_static_call_file_open_1', func: 'second_target', sites: ['call'] },
];

/** Static keys, and their branches: as each stands, and whether it jumps unless the key is on. */
const SWITCHES = [
  { name: 'switch_on', enabled: 1, branches: ['jmp5', 'nop2 unless', 'init'] },
  { name: 'switch_off', enabled: 0, branches: ['nop5', 'jmp2 unless'] },
];
const BRANCHES = { jmp5: 'e91b000000', jmp2: 'eb1e', nop5: '0f1f440000', nop2: '6690', init: 'dd' };
/** How far behind a branch the place is that it jumps to. */
const JUMPS = 0x20;

const STRUCTS = {
  list_head: {
    size: 16,
    members: [
      ['next', 0],
      ['prev', 64],
    ],
  },
  static_call_key: {
    size: 16,
    members: [
      ['func', 0],
      ['', 64, 'key_union'],
    ],
  },
  key_union: {
    size: 8,
    members: [
      ['type', 0],
      ['mods', 0],
      ['sites', 0],
    ],
    union: true,
  },
  static_call_mod: {
    size: 24,
    members: [
      ['next', 0],
      ['mod', 64],
      ['sites', 128],
    ],
  },
  tracepoint: {
    size: 64,
    members: [
      ['name', 0],
      ['funcs', 8 * 40],
    ],
  },
  tracepoint_func: {
    size: 24,
    members: [
      ['func', 0],
      ['data', 64],
      ['prio', 128],
    ],
  },
  mutex: { size: 32, members: [['owner', 0]] },
  mod_kallsyms: {
    size: 24,
    members: [
      ['symtab', 0],
      ['num_symtab', 64],
      ['strtab', 128],
    ],
  },
  module_memory: {
    size: 16,
    members: [
      ['base', 0],
      ['size', 64],
    ],
  },
  module: {
    size: 512,
    members: [
      ['state', 0],
      ['list', 64],
      ['name', 8 * 24],
      ['mem', 8 * 96, 'memories'],
      ['kallsyms', 8 * 256],
      ['num_static_call_sites', 8 * 264],
      ['static_call_sites', 8 * 272],
      ['jump_entries', 8 * 280],
      ['num_jump_entries', 8 * 288],
    ],
  },
};

class Image {
  constructor(base, size) {
    this.base = base;
    this.bytes = Buffer.alloc(size);
  }
  u32(at, value) {
    this.bytes.writeInt32LE(value | 0, at - this.base);
  }
  word(at, value) {
    this.bytes.writeBigInt64LE(BigInt(value), at - this.base);
  }
  put(at, bytes) {
    Buffer.from(bytes).copy(this.bytes, at - this.base);
  }
}

/** `call`, `jmp` and `jcc` with their displacements, and what stands in their place. */
function instruction(kind, at, func, names) {
  const branch = (opcode, target) => {
    const bytes = Buffer.alloc(opcode.length + 4);
    Buffer.from(opcode).copy(bytes);
    bytes.writeInt32LE(target - (at + bytes.length), opcode.length);
    return bytes;
  };
  const target = func === null ? null : names.get(func);
  if (kind === 'init') return Buffer.alloc(5, 0xdd);
  if (kind === 'call') {
    if (func === null) return Buffer.from('0f1f440000', 'hex');
    if (func === '__static_call_return0') return Buffer.from('2e2e2e31c0', 'hex');
    return branch([0xe8], target);
  }
  if (kind === 'thunk') return branch([0xe9], names.get('__x86_return_thunk'));
  if (kind === 'jcc') return branch([0x0f, 0x84], target ?? names.get('__static_call_return'));
  return func === null ? Buffer.from('c3cccccccc', 'hex') : branch([0xe9], target);
}

/** @param {{ levels?: 4 | 5, module?: boolean, btf?: boolean, encrypted?: number }} [options] */
export function buildMemory({ levels = 4, module = true, btf = true, encrypted = 0 } = {}) {
  const image = new Image(TEXT, AT.end);
  const low = new Image(LOW, 16 * PAGE);
  const names = new Map(FUNCTIONS.map((name, i) => [name, TEXT + AT.functions + 64 * i]));
  const symbols = [...names].map(([name, at]) => ({ name, at, type: 'T' }));
  const symbol = (name, at, type = 'D') => symbols.push({ name, at, type });
  const sites = [];
  let next = TEXT + AT.sites;
  let initial = TEXT + AT.init;
  KEYS.forEach(({ name, func, sites: kinds }, k) => {
    const key = TEXT + AT.keys + 16 * k;
    const trampoline = TEXT + AT.trampolines + 8 * k;
    image.word(key, func === null ? 0 : names.get(func));
    image.word(key + 8, 1);
    symbol(`__SCK__${name}`, key);
    symbol(`__SCT__${name}`, trampoline, 'T');
    const kind = func === null ? 'thunk' : 'jmp';
    image.put(trampoline, [...instruction(kind, trampoline, func, names), 0x0f, 0xb9, 0xcc]);
    symbol(`caller_of_${name}`, next, 't');
    for (const site of kinds) {
      const at = site === 'init' ? initial : next;
      image.put(at, instruction(site, at, func, names));
      sites.push({
        at,
        key,
        flags: (site === 'call' || site === 'init' ? 0 : 1) | (site === 'init' ? 2 : 0),
      });
      if (site === 'init') initial += 16;
      else next += 16;
    }
  });
  const table = TEXT + AT.table;
  sites.forEach(({ at, key, flags }, i) => {
    image.u32(table + 8 * i, at - (table + 8 * i));
    image.u32(table + 8 * i + 4, key + flags - (table + 8 * i + 4));
  });
  const branches = addBranches(image, symbol);
  const own = DIRECT + LOW + 8 * PAGE;
  const event = TEXT + AT.keys + 16 * 3;
  image.word(TEXT + AT.tracepoint + 40, own);
  low.word(LOW + 8 * PAGE, names.get('probe_event'));
  const head = TEXT + AT.modules;
  image.word(head, head);
  const moduleAt = module ? addModule(image, low, head, names) : null;
  for (const [name, at] of Object.entries({
    _stext: TEXT,
    _etext: TEXT + AT.etext,
    _end: TEXT + AT.end,
    __init_begin: TEXT + AT.init,
    __init_end: TEXT + AT.initEnd,
    __start_static_call_sites: table,
    __stop_static_call_sites: table + 8 * sites.length,
    __tracepoint_event: TEXT + AT.tracepoint,
    text_mutex: TEXT + AT.mutex,
    static_call_mutex: TEXT + AT.staticMutex,
    jump_label_mutex: TEXT + AT.jumpMutex,
    __start___jump_table: TEXT + AT.jumpTable,
    __stop___jump_table: TEXT + AT.jumpTable + 16 * branches.length,
    modules: head,
  }))
    symbol(name, at);
  const types = btf ? buildBtf() : Buffer.alloc(0);
  image.put(TEXT + AT.btf, types);
  if (btf) {
    symbol('__start_BTF', TEXT + AT.btf);
    symbol('__stop_BTF', TEXT + AT.btf + types.length);
  }
  symbols.sort((a, b) => a.at - b.at);
  const kallsyms = addKallsyms(image, symbols);
  const tables = addTables(low, levels, encrypted);
  const info = vmcoreinfo({ kallsyms, levels, encrypted, tables });
  image.put(TEXT + AT.info, info);
  return {
    info,
    names,
    keys: new Map(KEYS.map(({ name }, k) => [name, TEXT + AT.keys + 16 * k])),
    event,
    sites,
    table,
    branches,
    jumpTable: TEXT + AT.jumpTable,
    switches: new Map(SWITCHES.map(({ name }, i) => [name, TEXT + AT.switches + 16 * i])),
    jumpMutex: TEXT + AT.jumpMutex,
    head,
    module: moduleAt,
    mutex: TEXT + AT.staticMutex,
    parts: [
      { physical: LOW, bytes: low.bytes },
      { physical: PHYSICAL, bytes: image.bytes },
    ],
    kallsyms,
    btf: TEXT + AT.btf,
    tables,
    trampoline: (name) => TEXT + AT.trampolines + 8 * KEYS.findIndex((key) => key.name === name),
    /** The part and the offset in it of an address of the image or of the module. */
    place(at) {
      if (at >= MODULE) return { part: 0, offset: 4 * PAGE + (at - MODULE) };
      if (at >= TEXT) return { part: 1, offset: at - TEXT };
      return { part: 0, offset: at - DIRECT - LOW };
    },
  };
}

/** An entry of a table of branches (struct jump_entry). */
function putEntry(image, entry, { at, key, flags }) {
  image.u32(entry, at - entry);
  image.u32(entry + 4, at + JUMPS - (entry + 4));
  image.word(entry + 8, key + flags - (entry + 8));
}

function addBranches(image, symbol) {
  symbol('brancher', TEXT + AT.branches, 't');
  const found = SWITCHES.flatMap(({ name, enabled, branches }, i) => {
    const key = TEXT + AT.switches + 16 * i;
    image.u32(key, enabled);
    symbol(name, key);
    return branches.map((text) => {
      const [form, unless] = text.split(' ');
      return { form, key, flags: (unless ? 1 : 0) | (form === 'init' ? 2 : 0) };
    });
  });
  return found.map(({ form, key, flags }, i) => {
    const at = TEXT + AT.branches + 0x40 * i;
    image.put(at, Buffer.from(BRANCHES[form], 'hex'));
    putEntry(image, TEXT + AT.jumpTable + 16 * i, { at, key, flags });
    return { at, key, flags };
  });
}

/** One page of text, and one with everything else. */
function addModule(image, low, head, names) {
  const text = MODULE;
  const data = MODULE + PAGE;
  const at = data + 0x800;
  const put = new Image(MODULE, 2 * PAGE);
  put.word(at + 8, head);
  put.word(at + 16, head);
  image.word(head, at + 8);
  put.put(at + 24, Buffer.from('toy\0'));
  put.word(at + 96, text);
  put.word(at + 104, PAGE);
  put.word(at + 112, data);
  put.word(at + 120, PAGE);
  const symtab = data + 0x400;
  const strtab = data + 0x600;
  const kallsyms = data + 0x3c0;
  const key = data + 0x300;
  const entries = [
    ['toy_init', text, 2],
    ['__SCT__toy', text + 0x80, 2],
    ['__SCK__toy', key, 1],
    ['toy_target', text + 0x100, 2],
  ];
  let string = 1;
  entries.forEach(([name, address, type], i) => {
    put.u32(symtab + 24 * (i + 1), string);
    put.put(symtab + 24 * (i + 1) + 4, [type, 0, 1, 0]);
    put.word(symtab + 24 * (i + 1) + 8, address);
    put.put(strtab + string, Buffer.from(`${name}\0`));
    string += name.length + 1;
  });
  put.word(kallsyms, symtab);
  put.u32(kallsyms + 8, entries.length + 1);
  put.word(kallsyms + 16, strtab);
  put.word(at + 256, kallsyms);
  put.u32(at + 264, 2);
  const branch = text + 0x60;
  put.put(branch, Buffer.from(BRANCHES.jmp5, 'hex'));
  putEntry(put, data + 0x240, { at: branch, key: TEXT + AT.switches, flags: 0 });
  put.word(at + 280, data + 0x240);
  put.u32(at + 288, 1);
  const table = data + 0x200;
  put.word(at + 272, table);
  // A site of its own key, and one of the kernel's, which lists it.
  put.word(key, text + 0x100);
  put.word(key + 8, 0);
  put.put(text + 0x80, [
    ...instruction('jmp', text + 0x80, 'toy', new Map([['toy', text + 0x100]])),
    0x0f,
    0xb9,
    0xcc,
  ]);
  put.put(text + 0x20, instruction('call', text + 0x20, 'toy', new Map([['toy', text + 0x100]])));
  put.put(text + 0x40, instruction('call', text + 0x40, 'probe_event', names));
  const event = TEXT + AT.keys + 16 * 3;
  const own = DIRECT + LOW + 9 * PAGE;
  image.word(event + 8, own);
  low.word(LOW + 9 * PAGE + 8, at);
  low.word(LOW + 9 * PAGE + 16, table + 8);
  for (const [i, [site, word]] of [
    [text + 0x20, key],
    [text + 0x40, event],
  ].entries()) {
    put.u32(table + 8 * i, site - (table + 8 * i));
    put.u32(table + 8 * i + 4, word - (table + 8 * i + 4));
  }
  put.bytes.copy(low.bytes, 4 * PAGE);
  return at;
}

function addKallsyms(image, symbols) {
  const at = TEXT + AT.kallsyms;
  const round = (n) => Math.ceil(n / 8) * 8;
  const names = Buffer.concat(
    symbols.map(({ name, type }) => Buffer.from([name.length + 1, ...Buffer.from(type + name)])),
  );
  const markers = [0];
  const places = { offsets: at, relative_base: at + round(4 * symbols.length) };
  places.num_syms = places.relative_base + 8;
  places.names = places.num_syms + 8;
  places.markers = places.names + round(names.length);
  places.token_table = places.markers + round(4 * markers.length);
  const tokens = Buffer.from(Array.from({ length: 256 }, (_, i) => [i || 1, 0]).flat());
  places.token_index = places.token_table + tokens.length;
  image.word(places.relative_base, TEXT);
  image.u32(places.num_syms, symbols.length);
  symbols.forEach((s, i) => image.u32(places.offsets + 4 * i, s.at - TEXT));
  image.put(places.names, names);
  image.put(places.token_table, tokens);
  for (let i = 0; i < 256; i++) image.bytes.writeUInt16LE(2 * i, places.token_index - TEXT + 2 * i);
  return places;
}

function buildBtf() {
  const strings = [Buffer.from('\0')];
  let length = 1;
  const string = (text) => {
    if (text === '') return 0;
    strings.push(Buffer.from(`${text}\0`));
    length += text.length + 1;
    return length - text.length - 1;
  };
  const u32 = (...values) => Buffer.from(Uint32Array.from(values).buffer);
  const order = Object.keys(STRUCTS);
  const types = [u32(string('int'), 1 << 24, 4, 32)];
  // Type 1 is the integer; then the structures; then the array of module_memory.
  const number = (name) => (name === 'memories' ? order.length + 2 : order.indexOf(name) + 2);
  for (const name of order) {
    const { size, members, union } = STRUCTS[name];
    const tag = name === 'key_union' ? 0 : string(name);
    types.push(u32(tag, ((union ? 5 : 4) << 24) | members.length, size));
    for (const [member, bits, type] of members)
      types.push(u32(string(member), type ? number(type) : 1, bits));
  }
  types.push(u32(0, 3 << 24, 0, number('module_memory'), 1, 7));
  const body = Buffer.concat(types);
  const text = Buffer.concat(strings);
  const header = Buffer.alloc(24);
  header.writeUInt16LE(0xeb9f, 0);
  header[2] = 1;
  [24, 0, body.length, body.length, text.length].forEach((v, i) =>
    header.writeUInt32LE(v, 4 + 4 * i),
  );
  return Buffer.concat([header, body, text]);
}

/** Tables in the first pages of `low`; the image by a page of 2 MB, the direct map by one of 1 GB. */
function addTables(low, levels, encrypted) {
  const entry = (table, index, address, flags) =>
    low.word(
      LOW + table * PAGE + 8 * index,
      BigInt.asIntN(64, BigInt(address) + BigInt(encrypted) + BigInt(flags)),
    );
  const index = (at, level) =>
    Number((BigInt.asUintN(64, BigInt(at)) >> BigInt(12 + 9 * level)) & 511n);
  const page = (n) => LOW + n * PAGE;
  // 0: the fourth level; 1 and 2: the third, of the kernel's image and of the direct map; 3: the
  // second; 4 and 5 are the module; 6: the first level, of the module; 7: the fifth level.
  entry(0, index(TEXT, 3), page(1), 1);
  entry(0, index(DIRECT, 3), page(2), 1);
  entry(1, index(TEXT, 2), page(3), 1);
  entry(2, index(DIRECT, 2), 0, 0x81);
  entry(1, index(MODULE, 2), page(10), 1);
  entry(3, index(TEXT, 1), PHYSICAL, 0x81);
  entry(10, index(MODULE, 1), page(6), 1);
  entry(6, index(MODULE, 0), page(4), 1);
  entry(6, index(MODULE + PAGE, 0), page(5), 1);
  entry(7, index(TEXT, 4), page(0), 1);
  return page(levels === 5 ? 7 : 0);
}

function vmcoreinfo({ kallsyms, levels, encrypted, tables }) {
  const hex = (at) => BigInt.asUintN(64, BigInt(at)).toString(16);
  // swapper_pg_dir is an address of the image; the tables here lie elsewhere, at such an address.
  const base = PHYSICAL - (TEXT + 0x8000_0000);
  return [
    'OSRELEASE=6.1.0-toy',
    'BUILD-ID=00112233',
    'PAGESIZE=4096',
    `SYMBOL(swapper_pg_dir)=${hex(tables - base - 0x8000_0000)}`,
    ...Object.entries(kallsyms).map(([name, at]) => `SYMBOL(kallsyms_${name})=${hex(at)}`),
    `NUMBER(phys_base)=${base}`,
    `NUMBER(pgtable_l5_enabled)=${levels === 5 ? 1 : 0}`,
    `NUMBER(sme_mask)=${encrypted}`,
    `KERNELOFFSET=${SLIDE.toString(16)}`,
    '',
  ].join('\n');
}

/** An ELF core: `note` with VMCOREINFO apart, `virtual` with addresses as QEMU's paging writes them. */
export function elfCore(memory, { note = true, machine = 62 } = {}) {
  const { parts, info } = memory;
  const text = Buffer.from(note ? info : '');
  const notes = Buffer.alloc(note ? 12 + 12 + Math.ceil(text.length / 4) * 4 : 0);
  if (note) {
    notes.writeUInt32LE(11, 0);
    notes.writeUInt32LE(text.length, 4);
    notes.write('VMCOREINFO\0', 12);
    text.copy(notes, 24);
  }
  const segments = [
    { type: 4, physical: 0, bytes: notes },
    ...parts.map((part) => ({ type: 1, ...part })),
  ];
  const header = Buffer.alloc(64);
  header.write('\x7fELF\x02\x01\x01', 0, 'latin1');
  header.writeUInt16LE(4, 16);
  header.writeUInt16LE(machine, 18);
  header.writeUInt32LE(1, 20);
  header.writeBigUInt64LE(64n, 32);
  header.writeUInt16LE(64, 52);
  header.writeUInt16LE(56, 54);
  header.writeUInt16LE(segments.length, 56);
  let offset = 64 + 56 * segments.length;
  const table = segments.map(({ type, physical, bytes }) => {
    const entry = Buffer.alloc(56);
    entry.writeUInt32LE(type, 0);
    [offset, 0, physical, bytes.length, bytes.length].forEach((v, i) =>
      entry.writeBigUInt64LE(BigInt(v), 8 + 8 * i),
    );
    offset += bytes.length;
    return entry;
  });
  return Buffer.concat([header, ...table, ...segments.map(({ bytes }) => bytes)]);
}

/** Offset in the ELF core of an address. */
export function coreOffset(memory, core, at) {
  const { part, offset } = memory.place(at);
  return Number(core.readBigUInt64LE(64 + 56 * (1 + part) + 8)) + offset;
}

/** A kdump: its pages as they are (0) or by zlib (1); any other flag is written over raw pages. */
export function kdump(
  memory,
  { flags = 1, pack = flags === 1 ? deflateSync : (page) => page } = {},
) {
  const pages = memory.parts.flatMap(({ physical, bytes }) =>
    Array.from({ length: bytes.length / PAGE }, (_, i) => ({
      pfn: physical / PAGE + i,
      bytes: bytes.subarray(i * PAGE, (i + 1) * PAGE),
    })),
  );
  const header = Buffer.alloc(PAGE);
  header.write('KDUMP   ');
  header.writeInt32LE(6, 8);
  header.writeInt32LE(PAGE, 428);
  header.writeInt32LE(1, 432);
  header.writeUInt32LE(2, 436);
  const sub = Buffer.alloc(PAGE);
  const info = Buffer.from(memory.info);
  sub.writeBigUInt64LE(BigInt(PAGE + 512), 32);
  sub.writeBigUInt64LE(BigInt(info.length), 40);
  info.copy(sub, 512);
  const bitmap = Buffer.alloc(PAGE);
  for (const { pfn } of pages) bitmap[pfn >> 3] |= 1 << (pfn & 7);
  const descriptors = Buffer.alloc(24 * pages.length);
  let offset = 4 * PAGE + descriptors.length;
  const packed = pages.map(({ bytes }, i) => {
    const stored = pack(bytes);
    descriptors.writeBigUInt64LE(BigInt(offset), 24 * i);
    descriptors.writeUInt32LE(stored.length, 24 * i + 8);
    descriptors.writeUInt32LE(flags, 24 * i + 12);
    offset += stored.length;
    return stored;
  });
  return Buffer.concat([header, sub, bitmap, bitmap, descriptors, ...packed]);
}

/** Any file in blocks, as through a pipe; the first block is written twice, wrongly at first. */
export function flattened(bytes, size = 5000, holes = false) {
  const header = Buffer.alloc(PAGE);
  header.write('makedumpfile');
  const block = (offset, content) => {
    const head = Buffer.alloc(16);
    head.writeBigInt64BE(BigInt(offset), 0);
    head.writeBigInt64BE(BigInt(content.length), 8);
    return Buffer.concat([head, content]);
  };
  const blocks = [block(0, Buffer.alloc(size, 0xee))];
  for (let at = 0; at < bytes.length; at += size) {
    const content = bytes.subarray(at, at + size);
    if (!holes || content.some((byte) => byte !== 0)) blocks.push(block(at, content));
  }
  return Buffer.concat([header, ...blocks, Buffer.alloc(16, 0xff)]);
}
