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
  type TrampolineFacts,
} from './facts.js';
import { findKallsyms } from './kallsyms.js';
import { branchesTo, findKernelCalls, kernelSegments, keyTarget } from './kernel-table.js';
import { above, addressesOf, functionAt, nameAt, type Symbols } from './symbols.js';

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

  const keyOf = new Map<Addr, string>();
  for (const { key, trampoline } of calls.sites)
    if (trampoline !== null && !keyOf.has(key)) keyOf.set(key, trampolineKey(symbols, trampoline));
  const keyName = (key: Addr): string =>
    keyOf.get(key) ?? symbolKey(symbols, key) ?? `key_${hex(key).slice(2)}`;
  const keySymbols = new Map<Addr, string>();
  const keySymbol = (key: Addr, name: string): string => {
    let symbol = keySymbols.get(key);
    if (symbol === undefined)
      keySymbols.set(
        key,
        (symbol = (symbols && nameAt(symbols, key, KEY_PREFIX)) ?? KEY_PREFIX + name),
      );
    return symbol;
  };
  const sections = object.sections
    .filter((s) => s.address < 0 && s.size > 0)
    .sort((a, b) => a.address - b.address);
  const init = initRange(object, symbols);
  const sites = calls.sites.map((site) => {
    const name = keyName(site.key);
    const around = symbols && functionAt(symbols, site.at);
    const place = {
      ...whereIs(object, sections, site.at),
      align: 1,
      function: around && { name: around.name, offset: site.at - around.start },
    };
    const facts = siteFacts(
      { ...site, key: name, keySymbol: keySymbol(site.key, name) },
      place,
      object.at(site.at, site.length)!,
    );
    return { ...facts, init: facts.init || (site.at >= init.start && site.at < init.end) };
  });
  const counts = countByKey(sites);
  const keyAt = new Map(calls.sites.map((s) => [s.trampoline, s.key]));
  const trampolines: TrampolineFacts[] = calls.trampolines.map(({ at, target }) => {
    const key = trampolineKey(symbols, at);
    const record = keyAt.get(at);
    // The key's own pointer, where some site says which key it is: the jump of an empty one leads
    // to a return thunk.
    const pointer = record === undefined ? undefined : keyTarget(object, record);
    const leads = pointer === undefined ? target : pointer;
    const named = leads === null ? null : ((symbols && nameAt(symbols, leads)) ?? hex(leads));
    return {
      key,
      symbol: TRAMPOLINE_PREFIX + key,
      ...whereIs(object, sections, at),
      ...knownTarget(named),
      sites: counts.get(key) ?? 0,
    };
  });
  const listed = new Set(calls.sites.map((s) => s.at));
  const branches = branchesTo(object, calls.trampolines);
  const seen = branches.filter((at) => listed.has(at)).length;
  const faults = symbols
    ? []
    : [
        faultFacts(
          new Fault(
            'bad-image',
            'no kallsyms tables were found in it: keys are named by their addresses',
            {
              at: path,
              hint: 'the kernel was built without CONFIG_KALLSYMS, or in a layout that is not known here',
            },
          ),
        ),
      ];
  return {
    path,
    kind,
    sites,
    keys: keyFacts(sites, trampolines),
    trampolines,
    faults,
    kernel: {
      table: calls.table,
      names: symbols === null ? null : symbols instanceof ElfSymbols ? 'symtab' : 'kallsyms',
      symbols: symbols?.count ?? 0,
      branches: { listed: seen, unlisted: branches.length - seen },
    },
  };
}

function trampolineKey(symbols: Symbols | null, at: Addr): string {
  const name = symbols && nameAt(symbols, at, TRAMPOLINE_PREFIX);
  return name === null ? `key_${hex(at).slice(2)}` : bareName(name);
}

function symbolKey(symbols: Symbols | null, at: Addr): string | null {
  const name = symbols && nameAt(symbols, at, KEY_PREFIX);
  return name === null ? null : bareName(name);
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
    this.#order = Uint32Array.from(
      kept.sort((a, b) => (values[a] === values[b] ? 0 : above(values[a]!, values[b]!) ? 1 : -1)),
    );
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
