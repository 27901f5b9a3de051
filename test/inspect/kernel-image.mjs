// Builds small kernels for the tests: text with sites and trampolines, a table of sites, keys, and
// the kallsyms arrays in any layout that scripts/kallsyms.c has had since 5.10, written from the
// description of the format. What was put in is handed back, so that a test compares and does not
// recompute.

import { gzipSync } from 'node:zlib';

/**
 * @typedef {object} Shape
 * @property {number} [keys]
 * @property {number} [sites]
 * @property {'none' | 'SCT' | 'ud1'} [signature]
 * @property {object | null} [kallsyms] a KallsymsLayout, and seqsBehind, symbols (how many more), big, textOnly
 * @property {boolean} [symtab]
 * @property {boolean} [table]
 * @property {boolean} [thunk] trampolines of empty keys jump to the return thunk
 * @property {boolean} [initEndsAtSite] what is freed after boot ends where the last site begins
 */

const TEXT = -0x7f000000; // 0xffffffff81000000
const DATA = TEXT + 0x200000;
const INIT = TEXT + 0x300000;
const HEADERS = 0x1000;

/** A growing run of bytes at a known address. */
class Run {
  bytes = new Uint8Array(1 << 16);
  parts = [];
  length = 0;
  constructor(base) {
    this.base = base;
  }
  get here() {
    return this.base + this.length;
  }
  #room(n) {
    if (this.length + n <= this.bytes.length) return;
    const larger = new Uint8Array((this.length + n) * 2);
    larger.set(this.bytes);
    this.bytes = larger;
  }
  put(...bytes) {
    this.#room(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }
  u16(v) {
    this.put(v & 255, v >> 8);
  }
  u32(v) {
    this.put(v & 255, (v >> 8) & 255, (v >> 16) & 255, (v >>> 24) & 255);
  }
  u64(v) {
    this.u32((v % 0x1_0000_0000) | 0);
    this.u32(v < 0 ? Math.floor(v / 0x1_0000_0000) : Math.floor(v / 0x1_0000_0000));
  }
  rel32(to) {
    this.u32(to - (this.here + 4));
  }
  place(to) {
    this.u32(to - this.here);
  }
  /** What is emitted from here on belongs to a part of this name: ranges of the run. */
  part(name) {
    this.parts.push({ name, start: this.length });
  }
  align(n, fill = 0) {
    while (this.length % n !== 0) this.put(fill);
  }
  done() {
    return this.bytes.subarray(0, this.length);
  }
}

/**
 * @param {Shape} shape
 * @returns the bytes, and what is in them: sites in the table's order, trampolines and symbols by address
 */
export function buildKernel(shape = {}) {
  const {
    keys = 5,
    sites: siteCount = 12,
    signature = 'ud1',
    kallsyms = {},
    symtab = false,
    table = true,
    thunk = false,
    initEndsAtSite = false,
  } = shape;
  const text = new Run(TEXT);
  const data = new Run(DATA);
  const init = new Run(INIT);
  const symbols = [];
  const mark = (run, type, name) => {
    symbols.push({ address: run.here, type, name });
    return run.here;
  };
  const keyName = (i) => `tp_func_event_${i}`;

  // Targets and trampolines first, so that every branch knows where it leads.
  mark(text, 'T', '_text');
  text.put(...Array(16).fill(0x90));
  const target = mark(text, 't', '__traceiter_some_event');
  text.put(0x31, 0xc0, 0xc3);
  text.align(16, 0xcc);
  const returnThunk = thunk ? mark(text, 'T', '__x86_return_thunk') : 0;
  if (thunk) text.put(0xc3, ...Array(15).fill(0xcc));
  const trampolines = [];
  text.part('trampolines');
  for (let i = 0; i < keys; i++) {
    const at = mark(text, 'T', `__SCT__${keyName(i)}`);
    const empty = i % 3 === 1;
    if (empty && !thunk) text.put(0xc3, 0xcc, 0x90, 0x90, 0x90);
    else {
      text.put(0xe9);
      text.rel32(empty ? returnThunk : target);
    }
    if (signature === 'ud1') text.put(0x0f, 0xb9, 0xcc);
    else if (signature === 'SCT') text.put(0x53, 0x43, 0x54);
    else text.put(0x0f, 0x1f, 0x00);
    trampolines.push({ at, name: `__SCT__${keyName(i)}`, target: empty ? null : target });
  }
  const keyAt = Array.from({ length: keys }, (_, i) => {
    const at = mark(data, 'd', `__SCK__${keyName(i)}`);
    data.u64(i % 3 === 1 ? 0 : target);
    data.u64(1);
    return at;
  });

  text.align(16, 0xcc);
  text.part('sites');
  mark(init, 'T', '_sinittext');
  const sites = [];
  for (let i = 0; i < siteCount; i++) {
    const inInit = i === siteCount - 1;
    const run = inInit ? init : text;
    const name = `caller_${i >> 1}${i % 2 ? '_tail' : ''}`;
    mark(run, 't', name);
    run.put(0x55, ...Array((i * 5) % 16).fill(0x90));
    // The last key of five is used by no site: its trampoline is found all the same.
    const keyIndex = i % Math.max(1, keys - 1);
    const kind = i % 5 === 3 ? 'jmp' : i % 5 === 4 ? 'jcc' : 'call';
    sites.push({
      at: run.here,
      key: keyName(keyIndex),
      kind,
      function: name,
      init: inInit,
      keyIndex,
    });
    run.put(...(kind === 'call' ? [0xe8] : kind === 'jmp' ? [0xe9] : [0x0f, 0x85]));
    run.rel32(trampolines[keyIndex].at);
    run.put(0xc3);
    run.align(16, 0xcc);
  }
  mark(init, 'T', '_einittext');
  if (initEndsAtSite)
    symbols.push(
      { address: INIT, type: 'D', name: '__init_begin' },
      { address: sites.at(-1).at, type: 'D', name: '__init_end' },
    );
  mark(text, 'T', '_etext');
  text.align(64, 0);
  if (table) {
    text.part('table');
    for (const site of sites) {
      text.place(site.at);
      text.place(keyAt[site.keyIndex] + (site.kind === 'call' ? 0 : 1));
    }
  }
  text.align(8);
  if (kallsyms) {
    for (let i = 0; i < (kallsyms.symbols ?? 0); i++)
      symbols.push({
        address: TEXT + 0x100000 + i * 16,
        type: 'r',
        name: `filler_symbol_number_${i}`,
      });
    if (kallsyms.big)
      symbols.push({
        address: TEXT + 0x1f0000,
        type: 't',
        name: `_RNv${Array.from({ length: 300 }, (_, i) => 'abcdefgh'[(i * i) % 8]).join('')}`,
      });
  }
  const absolute =
    kallsyms?.addresses === undefined ||
    kallsyms.addresses.includes('per-CPU') ||
    kallsyms.addresses === 'absolute';
  const listed = symbols
    .filter((s) => !kallsyms?.textOnly || /[tT]/.test(s.type))
    .sort((a, b) => a.address - b.address || a.name.search(/[^_]/) - b.name.search(/[^_]/));
  const all =
    absolute && kallsyms && !kallsyms.textOnly
      ? [
          { address: 0, type: 'A', name: '__per_cpu_start' },
          { address: 0x1000, type: 'A', name: 'cpu_debug_store' },
          ...listed,
        ]
      : listed;
  if (kallsyms)
    emitKallsyms(text, all, {
      order: 'addresses first',
      addresses: 'base-relative, absolute per-CPU',
      seqs: 0,
      align: 8,
      ...kallsyms,
    });

  // As ranges of the file: each part ends where the next begins.
  const parts = text.parts.map(({ name, start }, i) => ({
    name,
    start: HEADERS + start,
    end: HEADERS + (text.parts[i + 1]?.start ?? text.length),
  }));
  return {
    bytes: elf(text.done(), data.done(), init.done(), symtab ? symbols : null),
    sites: sites.map(({ keyIndex: _, ...site }) => site),
    trampolines,
    symbols: all,
    parts,
  };
}

const SUBSTRINGS = [
  'tp_func_',
  '__SCT__',
  '__SCK__',
  'event_',
  'caller_',
  'filler_',
  'symbol_',
  'number_',
];

function emitKallsyms(run, symbols, layout) {
  const { order, addresses, seqs, align } = layout;
  const entries = symbols.map((s) => s.type + s.name);
  // Codes that some name uses stand for themselves; the tokens take codes from above 127.
  const tokens = Array.from({ length: 256 }, (_, code) => {
    const char = String.fromCharCode(code);
    if (/\d/.test(char) || entries.some((e) => e.includes(char))) return char;
    return code >= 128 && code < 128 + SUBSTRINGS.length
      ? SUBSTRINGS[code - 128]
      : code > 200
        ? `x${code}`
        : '';
  });
  const encode = (entry) => {
    const codes = [];
    for (let i = 0; i < entry.length;) {
      const token = SUBSTRINGS.findIndex((s) => entry.startsWith(s, i));
      codes.push(token >= 0 ? 128 + token : entry.charCodeAt(i));
      i += token >= 0 ? SUBSTRINGS[token].length : 1;
    }
    return codes;
  };
  const begin = () => run.align(align);
  const relativeBase = Math.min(...symbols.map((s) => s.address));
  const emitAddresses = () => {
    begin();
    run.part('addresses');
    if (addresses === 'absolute') for (const s of symbols) run.u64(s.address);
    else if (addresses === 'place-relative') for (const s of symbols) run.place(s.address);
    else {
      const perCpu = addresses === 'base-relative, absolute per-CPU';
      for (const s of symbols)
        run.u32(
          perCpu
            ? s.address >= 0
              ? s.address
              : relativeBase - 1 - s.address
            : s.address - relativeBase,
        );
      begin();
      run.part('relative_base');
      run.u64(relativeBase);
    }
  };
  const emitSeqs = (width) => {
    begin();
    run.part('seqs');
    const sorted = symbols
      .map((s, i) => ({ name: s.name, i }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const { i } of sorted) {
      if (width === 4) run.u32(i);
      else run.put(i >> 16, (i >> 8) & 255, i & 255);
    }
  };
  if (order === 'addresses first') emitAddresses();
  begin();
  run.part('num_syms');
  run.u32(symbols.length);
  begin();
  run.part('names');
  const markers = [];
  const start = run.length;
  entries.forEach((entry, i) => {
    if ((i & 255) === 0) markers.push(run.length - start);
    const codes = encode(entry);
    if (codes.length < 128) run.put(codes.length);
    else run.put((codes.length & 127) | 128, codes.length >> 7);
    run.put(...codes);
  });
  begin();
  run.part('markers');
  for (const m of markers) run.u32(m);
  if (seqs) emitSeqs(seqs);
  begin();
  run.part('token_table');
  const index = [];
  const table = run.length;
  for (const token of tokens) {
    index.push(run.length - table);
    run.put(...Buffer.from(token, 'latin1'), 0);
  }
  begin();
  run.part('token_index');
  for (const i of index) run.u16(i);
  if (order === 'names first') {
    emitAddresses();
    if (layout.seqsBehind) emitSeqs(3);
  }
  run.part('behind');
  run.align(8);
  run.put(...Array(64).fill(0xaa));
}

/**
 * Four segments as the kernel's linker script makes them, per-CPU data at 0 among them; no section
 * headers unless there are symbols.
 */
function elf(text, data, init, symbols) {
  const parts = [
    { bytes: text, address: TEXT, flags: 5, extra: 0 },
    { bytes: data, address: DATA, flags: 6, extra: 0x1000 },
    { bytes: new Uint8Array(64), address: 0, flags: 6, extra: 0 },
    { bytes: init, address: INIT, flags: 7, extra: 0x2000 },
  ];
  const out = new Run(0);
  out.put(0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, ...Array(9).fill(0));
  out.u16(2);
  out.u16(62);
  out.u32(1);
  out.u64(0x1000000);
  out.u64(64);
  out.u64(0); // section headers: patched in where there are any
  out.u32(0);
  for (const v of [64, 56, parts.length, 64, 0, 0]) out.u16(v);
  let offset = HEADERS;
  for (const { bytes, address, flags, extra } of parts) {
    out.u32(1);
    out.u32(flags);
    for (const v of [offset, address, 0, bytes.length, bytes.length + extra, 0x1000]) out.u64(v);
    offset += Math.ceil(bytes.length / 0x1000) * 0x1000;
  }
  for (const { bytes } of parts) {
    out.align(0x1000);
    for (let i = 0; i < bytes.length; i += 4096) out.put(...bytes.subarray(i, i + 4096));
  }
  if (symbols) addSymtab(out, symbols, text, init);
  return out.done().slice();
}

function addSymtab(out, symbols, text, init) {
  out.align(0x1000);
  const strings = new Run(0);
  strings.put(0);
  const nameAt = symbols.map((s) => {
    const at = strings.length;
    strings.put(...Buffer.from(s.name, 'latin1'), 0);
    return at;
  });
  const symtabAt = out.length;
  out.put(...Array(24).fill(0));
  symbols.forEach((s, i) => {
    const code = /[tTwW]/.test(s.type);
    out.u32(nameAt[i]);
    out.put(((s.type === s.type.toUpperCase() ? 1 : 0) << 4) | (code ? 2 : 1), 0);
    out.u16(code ? (s.address >= INIT ? 2 : 1) : 0xfff1);
    out.u64(s.address);
    out.u64(0);
  });
  const symtabSize = out.length - symtabAt;
  const stringsAt = out.length;
  out.put(...strings.done());
  const namesAt = out.length;
  const names = '\0.text\0.init.text\0.symtab\0.strtab\0.shstrtab\0';
  out.put(...Buffer.from(names, 'latin1'));
  out.align(8);
  const headersAt = out.length;
  const textPages = Math.ceil(text.length / 0x1000) * 0x1000;
  const rows = [
    ['', 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ['.text', 1, 6, TEXT, HEADERS, text.length, 0, 0, 16, 0],
    ['.init.text', 1, 6, INIT, HEADERS + textPages + 0x2000, init.length, 0, 0, 16, 0],
    ['.symtab', 2, 0, 0, symtabAt, symtabSize, 4, 1, 8, 24],
    ['.strtab', 3, 0, 0, stringsAt, strings.length, 0, 0, 1, 0],
    ['.shstrtab', 3, 0, 0, namesAt, names.length, 0, 0, 1, 0],
  ];
  for (const [name, type, flags, address, offset, size, link, info, align, entry] of rows) {
    out.u32(name === '' ? 0 : names.indexOf(`\0${name}\0`) + 1);
    out.u32(type);
    for (const v of [flags, address, offset, size]) out.u64(v);
    out.u32(link);
    out.u32(info);
    out.u64(align);
    out.u64(entry);
  }
  const view = new DataView(out.bytes.buffer, out.bytes.byteOffset);
  view.setBigUint64(40, BigInt(headersAt), true);
  view.setUint16(60, rows.length, true);
  view.setUint16(62, rows.length - 1, true);
}

/** A bzImage around a stream: `size` behind it unless it is gzip, which ends with its own. */
export function buildBzImage(stream, size, options = {}) {
  const { version = 0x20f, sectors = 4, trailer = true } = options;
  const setup = new Uint8Array(((sectors || 4) + 1) * 512);
  const view = new DataView(setup.buffer);
  const stub = 128;
  setup[0x1f1] = sectors;
  view.setUint16(0x1fe, 0xaa55, true);
  setup.set(Buffer.from('HdrS'), 0x202);
  view.setUint16(0x206, version, true);
  view.setUint32(0x248, stub, true);
  view.setUint32(0x24c, stream.length + (trailer ? 4 : 0), true);
  const end = new Uint8Array(trailer ? 4 : 0);
  if (trailer) new DataView(end.buffer).setUint32(0, size, true);
  return Buffer.concat([setup, new Uint8Array(stub).fill(0x90), stream, end, new Uint8Array(100)]);
}

export function buildGzipImage(kernel) {
  return buildBzImage(gzipSync(kernel), kernel.length, { trailer: false });
}
