// The sites of a linked kernel with their names. Places come from the loaded bytes (kernel.ts);
// names from .symtab where the file still has one, else from the kallsyms arrays inside it. A key's
// name is that of its trampoline, for code is in kallsyms whatever the configuration, and data is
// not.

import { hex, type Addr } from '../base/addr.js';
import { Fault } from '../base/fault.js';
import { PF_W, PF_X, PT_LOAD, STT_FUNC, STT_NOTYPE, STT_OBJECT } from '../elf/names.js';
import type { ElfObject, Section, SymbolTable } from '../elf/object.js';
import { bareName, KEY_PREFIX, TRAMPOLINE_PREFIX } from '../sites/site.js';
import {
  countByKey,
  faultFacts,
  keyFacts,
  knownTarget,
  siteFacts,
  type FileFacts,
  type KernelFacts,
  type SiteFacts,
  type TrampolineFacts,
} from './facts.js';
import { findKallsyms } from './kallsyms.js';
import {
  branchesTo,
  KernelMemory,
  findKernelCalls,
  kernelSegments,
  keyTarget,
  type KernelCalls,
  type KernelSite,
} from './kernel-table.js';
import { kernelStaticKeys, withOffset, type StaticKeyFacts } from './static-keys.js';
import { above, addressesOf, functionAt, lastAt, nameAt, type Symbols } from './symbols.js';

/**
 * A linked kernel lies in the upper half of the addresses, and nothing else that is linked does.
 */
export function isKernel(object: ElfObject): boolean {
  return (
    object.type !== 'relocatable' && kernelSegments(object).some((s) => (s.flags & PF_X) !== 0)
  );
}

/** @throws Fault `bad-image`. */
export function inspectKernel(
  path: string,
  object: ElfObject,
  kind: 'vmlinux' | 'image',
): FileFacts {
  const calls = findKernelCalls(object);
  if (calls.table === null && calls.trampolines.length === 0)
    throw new Fault('bad-image', 'neither a table of static call sites nor a trampoline is in it', {
      at: path,
    });
  const symtab = object.symbols;
  const symbols: Symbols | null =
    symtab && symtab.count > 1 ? new ElfSymbols(symtab) : findKallsyms(object);
  const names = new Names(symbols, calls.sites);
  const sections = object.sections
    .filter((s) => s.address < 0 && s.size > 0)
    .sort((a, b) => a.address - b.address);
  const sites = sitesOf(object, calls.sites, names, sections);
  const trampolines = trampolinesOf(object, calls, names, sections, countByKey(sites));
  const staticKeys = switchesIn(object, names, sections);
  return {
    path,
    kind,
    sites,
    keys: keyFacts(sites, trampolines),
    trampolines,
    faults: symbols ? [] : [faultFacts(unnamed(path))],
    ...(staticKeys && { staticKeys }),
    kernel: {
      table: calls.table,
      names: sourceOf(symbols),
      symbols: symbols?.count ?? 0,
      branches: crossCheck(object, calls),
    },
  };
}

const unnamed = (path: string): Fault =>
  new Fault('bad-image', 'no kallsyms tables were found in it: keys are named by their addresses', {
    at: path,
    hint: 'the kernel was built without CONFIG_KALLSYMS, or in a layout that is not known here',
  });

function sourceOf(symbols: Symbols | null): KernelFacts['names'] {
  if (symbols === null) return null;
  return symbols instanceof ElfSymbols ? 'symtab' : 'kallsyms';
}

/** What a scan of the text finds beside the table. */
function crossCheck(
  object: ElfObject,
  { sites, trampolines }: KernelCalls,
): KernelFacts['branches'] {
  const inTable = new Set(sites.map((s) => s.at));
  const branches = branchesTo(object, trampolines);
  const listed = branches.filter((at) => inTable.has(at)).length;
  return { listed, unlisted: branches.length - listed };
}

/** Names of keys and functions, for addresses. */
class Names {
  readonly symbols: Symbols | null;
  readonly #byKey = new Map<Addr, string>();
  readonly #symbolByKey = new Map<Addr, string>();

  constructor(symbols: Symbols | null, sites: readonly KernelSite[]) {
    this.symbols = symbols;
    for (const { key, trampoline } of sites)
      if (trampoline !== null && !this.#byKey.has(key))
        this.#byKey.set(key, this.ofTrampoline(trampoline));
  }

  at(address: Addr, prefix: string = ''): string | null {
    return this.symbols && nameAt(this.symbols, address, prefix);
  }
  /** The bare name of the key that a trampoline belongs to. */
  ofTrampoline(at: Addr): string {
    const name = this.at(at, TRAMPOLINE_PREFIX);
    return name === null ? unknownKey(at) : bareName(name);
  }
  /** The bare name of a key: its trampoline's where a site shows which that is. */
  ofKey(key: Addr): string {
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    const name = this.at(key, KEY_PREFIX);
    return name === null ? unknownKey(key) : bareName(name);
  }
  /** The key's own symbol, or what it would be called. */
  symbolOf(key: Addr): string {
    const known = this.#symbolByKey.get(key);
    if (known !== undefined) return known;
    const symbol = this.at(key, KEY_PREFIX) ?? KEY_PREFIX + this.ofKey(key);
    this.#symbolByKey.set(key, symbol);
    return symbol;
  }
}

/** No structure that holds a key is larger. */
const LARGEST = 0x1000;

function switchesIn(
  object: ElfObject,
  names: Names,
  sections: readonly Section[],
): StaticKeyFacts | null {
  const { symbols } = names;
  const init = initRange(object, symbols);
  return kernelStaticKeys(new KernelMemory(object), {
    placeOf: (at) => {
      const around = symbols && functionAt(symbols, at);
      return {
        ...whereIs(object, sections, at),
        function: around && { name: around.name, offset: at - around.start },
        init: at >= init.start && at < init.end,
      };
    },
    nameOf: (key) => {
      const last = symbols ? lastAt(symbols, key) : -1;
      const start = symbols && last >= 0 ? symbols.address(last) : NaN;
      const name = names.at(start);
      return name !== null && key - start < LARGEST && !symbols?.code(last)
        ? withOffset(name, key - start)
        : unknownKey(key);
    },
    isOn: (key) => {
      const bytes = object.at(key, 4);
      return bytes && new DataView(bytes.buffer, bytes.byteOffset, 4).getInt32(0, true) > 0;
    },
  });
}

const unknownKey = (at: Addr): string => `key_${hex(at).slice(2)}`;

function sitesOf(
  object: ElfObject,
  sites: readonly KernelSite[],
  names: Names,
  sections: readonly Section[],
): SiteFacts[] {
  const init = initRange(object, names.symbols);
  return sites.map((site) => {
    const around = names.symbols && functionAt(names.symbols, site.at);
    const place = {
      ...whereIs(object, sections, site.at),
      align: 1,
      function: around && { name: around.name, offset: site.at - around.start },
    };
    const facts = siteFacts(
      { ...site, key: names.ofKey(site.key), keySymbol: names.symbolOf(site.key) },
      place,
      object.at(site.at, site.length) ?? new Uint8Array(0),
    );
    return { ...facts, init: facts.init || (site.at >= init.start && site.at < init.end) };
  });
}

function trampolinesOf(
  object: ElfObject,
  calls: KernelCalls,
  names: Names,
  sections: readonly Section[],
  counts: ReadonlyMap<string, number>,
): TrampolineFacts[] {
  const keyAt = new Map(calls.sites.map((s) => [s.trampoline, s.key]));
  return calls.trampolines.map(({ at, target }) => {
    const key = names.ofTrampoline(at);
    const record = keyAt.get(at);
    // The key's own pointer, where some site says which key it is: the jump of an empty one leads
    // to a return thunk.
    const pointer = record === undefined ? undefined : keyTarget(object, record);
    const leads = pointer === undefined ? target : pointer;
    return {
      key,
      symbol: TRAMPOLINE_PREFIX + key,
      ...whereIs(object, sections, at),
      ...knownTarget(leads === null ? null : (names.at(leads) ?? hex(leads))),
      sites: counts.get(key) ?? 0,
    };
  });
}

/** By section header where there are any, else by segment. */
function whereIs(
  object: ElfObject,
  sections: readonly Section[],
  at: Addr,
): { section: string | null; offset: number; address: Addr } {
  const section = sections.find((s) => at >= s.address && at < s.address + s.size);
  if (section) return { section: section.name, offset: at - section.address, address: at };
  const segment = object.segments.find(
    (s) => s.type === PT_LOAD && at >= s.address && at < s.address + s.memorySize,
  );
  return { section: null, offset: at - (segment?.address ?? 0), address: at };
}

/**
 * What the kernel frees after boot: between its own symbols, else the segment that is both written
 * and run.
 */
function initRange(object: ElfObject, symbols: Symbols | null): { start: Addr; end: Addr } {
  const known = symbols
    ? addressesOf(symbols, ['__init_begin', '__init_end'])
    : new Map<string, Addr>();
  const start = known.get('__init_begin');
  const end = known.get('__init_end');
  if (start !== undefined && end !== undefined) return { start, end };
  const segment = kernelSegments(object).find(
    (s) => (s.flags & PF_X) !== 0 && (s.flags & PF_W) !== 0,
  );
  return segment
    ? { start: segment.address, end: segment.address + segment.memorySize }
    : { start: 0, end: 0 };
}

function compareUnsigned(a: Addr, b: Addr): number {
  if (a === b) return 0;
  return above(a, b) ? 1 : -1;
}

/** `.symtab` of a vmlinux in the order of its addresses. */
class ElfSymbols implements Symbols {
  readonly count: number;
  readonly #table: SymbolTable;
  readonly #order: Uint32Array;
  readonly #addresses: Float64Array;

  constructor(table: SymbolTable) {
    this.#table = table;
    const values = new Float64Array(table.count);
    const kept: number[] = [];
    for (let i = 1; i < table.count; i++) {
      values[i] = table.value(i);
      const type = table.type(i);
      if (table.defined(i) && (type === STT_FUNC || type === STT_OBJECT || type === STT_NOTYPE))
        kept.push(i);
    }
    // Of one address the first of the table is first here: the sort is stable.
    this.#order = Uint32Array.from(kept.sort((a, b) => compareUnsigned(values[a]!, values[b]!)));
    this.#addresses = Float64Array.from(this.#order, (i) => values[i]!);
    this.count = this.#order.length;
  }
  address(i: number): Addr {
    return this.#addresses[i]!;
  }
  name(i: number): string {
    return this.#table.label(this.#order[i]!);
  }
  code(i: number): boolean {
    return this.#table.type(this.#order[i]!) === STT_FUNC;
  }
}
