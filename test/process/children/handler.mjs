// Calls the trap handler as a function, with made-up signal contexts, and prints what it made of
// them. argv: number of contexts, seed, optional name of a mutant.
import { openNative, PROT, MAP } from '#machine/linux/native';
import { assemble, label, mem, place } from '#asm/assembler';
import { DATA, emulationWord, encodeTable, RECORD } from '#trap/registry';
import { UCONTEXT } from '#base/linux';
import { SIGTRAP_PROGRAM } from '#native/sigtrap';

const [count, seed, mutant] = [Number(process.argv[2]), Number(process.argv[3]), process.argv[4]];

/** Programs with one rule removed; each must be noticed. */
const MUTANTS = {
  // A trap at no site of ours is always somebody else's.
  'no-reread': (program) =>
    program.flatMap((item) =>
      item.item === 'label' && item.name === 'miss' ? [label('miss'), ['jmp', 'foreign']] : [item],
    ),
  'return-address-one-off': (program) =>
    program.map((item) => (item[0] === 'and' && item[1] === 'r10d' ? ['and', 'r10d', 14] : item)),
  'no-inverted-conditions': (program) =>
    program.filter((item) => !(item[0] === 'xor' && item[1] === 'eax' && item[2] === 'ecx')),
};
const code = assemble(MUTANTS[mutant]?.(SIGTRAP_PROGRAM) ?? SIGTRAP_PROGRAM);
/**
 * A table whose ends are in place and whose middle is in the wrong order: a search by halves passes
 * sites by.
 */
const disordered = (slots) =>
  slots.length < 4 ? slots : [slots[0], ...slots.slice(1, -1).reverse(), slots.at(-1)];
const table = (slots, next) =>
  encodeTable(mutant === 'unsorted-table' ? disordered(slots) : slots, next);

let state = seed >>> 0 || 1;
const random = (below) => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
};

const native = openNative();
const PAGES = 1 << 16;
const base = native.call(
  'mmap',
  0,
  PAGES,
  PROT.read | PROT.write,
  MAP.private | MAP.anonymous,
  -1,
  0,
);
const view = new Uint8Array(native.view(base, PAGES));
const quads = new BigUint64Array(view.buffer);
const at = {
  code: base,
  previous: base + 0x1000,
  data: base + 0x2000,
  records: base + 0x3000,
  tables: base + 0x4000,
  text: base + 0x6000,
  siginfo: base + 0x8000,
  context: base + 0x9000,
  stack: base + 0xa800,
};
const put = (address, value) => (quads[(address - base) / 8] = BigInt.asUintN(64, BigInt(value)));
const get = (address) => quads[(address - base) / 8];

view.set(place(code, { data: at.data }), 0);
// The previous handler leaves a mark: it counts itself in a word behind its code.
view.set(
  assemble([['movabs', 'rax', BigInt(at.previous + 64)], ['lock', 'inc', mem('rax')], ['ret']])
    .bytes,
  0x1000,
);
native.call('mprotect', base, 0x1000, PROT.read | PROT.exec);
native.call('mprotect', at.previous, 0x1000, PROT.read | PROT.write | PROT.exec);

const results = [];
for (let n = 0; n < count; n++) {
  // Two tables of sites at even places; queries hit sites and the odd places between them.
  const forms = ['call', 'jmp', 'nop', 'ret', 'ret0', 'jcc'];
  const sites = Array.from({ length: 1 + random(12) }, (_, i) => ({
    site: at.text + 32 * i + 2 * random(8),
    form: forms[random(6)],
    length: 5 + random(2),
    condition: random(16),
    target: 1 + random(2 ** 31) * 0x8000,
  }));
  const slots = sites.map((s, i) => {
    put(at.records + RECORD.size * i, emulationWord(s.form, s.target));
    put(at.records + RECORD.size * i + RECORD.traps, 0);
    return {
      site: s.site,
      word: at.records + RECORD.size * i,
      length: s.length,
      condition: s.condition,
    };
  });
  const half = random(slots.length + 1);
  const second = table(slots.slice(half), 0);
  quads.set(second, (at.tables + 0x1000 - base) / 8);
  const first = table(slots.slice(0, half), half < slots.length ? at.tables + 0x1000 : 0);
  quads.set(first, (at.tables - base) / 8);
  put(at.data + DATA.tables, half > 0 ? at.tables : at.tables + 0x1000);
  put(at.data + DATA.previous, at.previous);
  put(at.data + DATA.staleTraps, 0);
  put(at.data + DATA.foreign, 0);
  put(at.previous + 64, 0);

  const chosen = random(sites.length);
  const hit = random(4) !== 0;
  const trap = hit ? sites[chosen].site : sites[chosen].site + 1;
  const byte = [0xcc, 0x90, 0xe8, 0x03][random(4)];
  view[trap - base] = byte;
  const twoBytes = random(2) === 0;
  view[trap - 1 - base] = twoBytes ? 0xcd : 0x90;
  const kernel = random(8) !== 0;
  const flags = random(1 << 12);
  const rsp = at.stack + 8 * random(64);
  const top = 1 + random(2 ** 30);
  put(rsp, top);
  put(rsp - 8, 0x5555);
  new DataView(view.buffer).setInt32(at.siginfo - base + 8, kernel ? 0x80 : -6, true);
  put(at.context + UCONTEXT.rax, 0x1234);
  put(at.context + UCONTEXT.rsp, rsp);
  put(at.context + UCONTEXT.rip, trap + 1);
  put(at.context + UCONTEXT.flags, flags);

  native.invoke(at.code, 5, at.siginfo, at.context);

  results.push({
    sites: sites.map((s) => ({ ...s, site: s.site - at.text })),
    trap: trap - at.text,
    byte,
    twoBytes,
    kernel,
    flags,
    top,
    after: {
      rip: Number(get(at.context + UCONTEXT.rip)) - at.text,
      rsp: Number(get(at.context + UCONTEXT.rsp)) - rsp,
      rax: Number(get(at.context + UCONTEXT.rax)),
      pushed: Number(get(rsp - 8)),
      traps: sites.map((_, i) => Number(get(at.records + RECORD.size * i + RECORD.traps))),
      stale: Number(get(at.data + DATA.staleTraps)),
      foreign: Number(get(at.data + DATA.foreign)),
      previous: Number(get(at.previous + 64)),
    },
    text: at.text,
  });
}
console.log(JSON.stringify(results));
