// The sites of one object, module, shared object or program, with what a reader asks of each. Most
// files of a directory have none: their string tables are searched for the prefixes first, and
// nothing else is decoded.

import { hex } from '../base/addr.js';
import { bytesOf, find } from '../base/bytes.js';
import { lastNotAbove } from '../base/search.js';
import {
  SHF_EXECINSTR,
  SHT_STRTAB,
  STB_GLOBAL,
  STB_LOCAL,
  STB_WEAK,
  STT_FUNC,
  STT_GNU_IFUNC,
  STT_NOTYPE,
} from '../elf/names.js';
import type { ElfObject, SymbolTable } from '../elf/object.js';
import { declaredKeys, hasKeys, type KeyRecord } from '../keys/records.js';
import { sitesSections, surveySites } from '../sites/find.js';
import { checkReadable, isIntermediate, whyNoSites } from '../sites/readable.js';
import { KEY_PREFIX, TRAMPOLINE_PREFIX, type Site } from '../sites/site.js';
import { bestSymbols } from '../sites/symbols.js';
import { findTrampolines, type Trampoline } from '../sites/trampoline.js';
import { recogniseTrampoline, TRAMPOLINE_LENGTH } from '../x86/forms.js';
import { hasStaticKeys, staticKeysOf, type StaticKeyFacts } from './static-keys.js';
import {
  countByKey,
  faultFacts,
  keyFacts,
  knownTarget,
  siteFacts,
  type FaultFacts,
  type FileFacts,
  type FileKind,
  type SiteFacts,
  type TrampolineFacts,
} from './facts.js';

export function inspectObject(path: string, object: ElfObject): FileFacts {
  const facts = callsOf(path, object);
  if (!hasStaticKeys(object)) return facts;
  try {
    return { ...facts, staticKeys: staticKeysIn(object) };
  } catch (error) {
    return { ...facts, faults: [...facts.faults, faultFacts(error)] };
  }
}

/** @throws Fault `bad-keys-section`, `bad-sites-section`, `bad-site` */
function staticKeysIn(object: ElfObject): StaticKeyFacts {
  const code = object.sections.filter(({ flags }) => (flags & SHF_EXECINSTR) !== 0);
  const functions = new Functions(
    object,
    code.map(({ index }) => index),
  );
  return staticKeysOf(object, (section, at) => functions.around({ section, at }));
}

function callsOf(path: string, object: ElfObject): FileFacts {
  const kind = kindOf(object);
  const faults: FaultFacts[] = [];
  const orElse = <T>(otherwise: T, read: () => T): T => {
    try {
      return read();
    } catch (error) {
      faults.push(faultFacts(error));
      return otherwise;
    }
  };
  if (!orElse(true, () => mentionsKeys(object)))
    return { path, kind, sites: [], keys: [], trampolines: [], faults };
  const declared = orElse([], () => declaredKeys(object));
  const { listed, unlisted } = orElse({ listed: [], unlisted: [] }, () =>
    surveySites(object, (fault) => faults.push(faultFacts(fault)), declared),
  );
  const found = [...listed, ...unlisted];
  const sites = factsOfSites(object, found);
  const trampolines = orElse([], () => trampolinesOf(object, declared, countByKey(found)));
  const remark = faults.length > 0 ? null : remarkOn(object, listed, unlisted);
  return {
    path,
    kind,
    sites,
    keys: keyFacts(sites, trampolines),
    trampolines,
    faults,
    ...(remark === null ? {} : { remark }),
  };
}

function remarkOn(
  object: ElfObject,
  { length: listed }: readonly Site[],
  { length: unlisted }: readonly Site[],
): string | null {
  if (listed + unlisted === 0) return whyNoSites(object);
  return listed > 0 && unlisted > 0
    ? `its table lists ${listed} of ${listed + unlisted} sites; annotate --force completes it`
    : null;
}

function factsOfSites(object: ElfObject, found: readonly Site[]): SiteFacts[] {
  const relocatable = object.type === 'relocatable';
  const functions = new Functions(
    object,
    found.map(({ section }) => section),
  );
  return found.map((site) => {
    const section = object.sections[site.section]!;
    const offset = relocatable ? site.at : site.at - section.address;
    const place = {
      section: section.name,
      offset,
      address: relocatable ? null : site.at,
      align: section.align,
      function: functions.around(site),
    };
    const at = section.offset + offset;
    return siteFacts(site, place, object.bytes.subarray(at, at + site.length));
  });
}

function trampolinesOf(
  object: ElfObject,
  declared: readonly KeyRecord[],
  calls: ReadonlyMap<string, number>,
): TrampolineFacts[] {
  const relocatable = object.type === 'relocatable';
  const named = findTrampolines(object);
  const known = new Set(named.map((t) => t.key));
  const others = declared.filter((key) => !known.has(key.name));
  return [...named, ...others.map((key) => recorded(object, key))].map((t) => {
    const section = object.sections[t.section];
    const jumps = t.form?.startsWith('jmp') ?? false;
    const target = t.targetSymbol ?? (t.target === null ? null : hex(t.target));
    const leads =
      t.form !== null && (!jumps || target !== null)
        ? knownTarget(target)
        : { target: null, targetKnown: false };
    return {
      key: t.key,
      symbol: TRAMPOLINE_PREFIX + t.key,
      section: section?.name ?? null,
      offset: relocatable || !section ? t.at : t.at - section.address,
      address: relocatable ? null : t.at,
      ...leads,
      sites: calls.get(t.key) ?? 0,
    };
  });
}

/** The trampoline of a key whose symbols were stripped. */
function recorded(object: ElfObject, { name, trampoline: at, initialName }: KeyRecord): Trampoline {
  const section =
    object.sections.find(
      (s) => (s.flags & SHF_EXECINSTR) !== 0 && at >= s.address && at < s.address + s.size,
    )?.index ?? 0;
  const bytes = object.at(at, TRAMPOLINE_LENGTH);
  const is = bytes && recogniseTrampoline(bytes, at);
  return {
    key: name,
    section,
    at,
    form: is?.form.name ?? null,
    target: is?.target ?? null,
    targetSymbol: initialName,
  };
}

const PREFIXES = [bytesOf(TRAMPOLINE_PREFIX), bytesOf(KEY_PREFIX)];

/**
 * Whether some name of the file is that of a key or trampoline: a plain search, many times faster
 * than the symbols one by one.
 * @throws Fault where the file has no code yet or no headers, so that nothing can be said of it
 */
function mentionsKeys(object: ElfObject): boolean {
  if (object.sections.length === 0 || isIntermediate(object)) checkReadable(object);
  if (sitesSections(object).length > 0 || hasKeys(object)) return true;
  for (const section of object.sections) {
    if (section.type !== SHT_STRTAB) continue;
    const names = object.data(section);
    if (PREFIXES.some((prefix) => find(names, prefix) >= 0)) return true;
  }
  return false;
}

function kindOf(object: ElfObject): FileKind {
  if (object.type === 'relocatable')
    return object.section('.gnu.linkonce.this_module') || object.section('.modinfo')
      ? 'module'
      : 'relocatable';
  return object.isProgram ? 'executable' : 'shared';
}

interface Placed {
  readonly at: number;
  readonly symbol: number;
}

/**
 * Which function a site is in: the symbols of the sections in question, sorted once, names made on
 * demand.
 */
class Functions {
  readonly #symbols: SymbolTable | null;
  readonly #bySection = new Map<
    number,
    { readonly placed: readonly Placed[]; readonly starts: Float64Array }
  >();

  constructor(object: ElfObject, sections: readonly number[]) {
    const symbols = sections.length > 0 ? bestSymbols(object) : null;
    this.#symbols = symbols;
    if (!symbols) return;
    const lists = new Map(sections.map((section): [number, Placed[]] => [section, []]));
    for (let i = 1; i < symbols.count; i++)
      if (namesCode(symbols, i))
        lists.get(symbols.sectionIndex(i))?.push({ at: symbols.value(i), symbol: i });
    for (const [section, list] of lists) {
      // Of several names of one place a global one, then the first of the table: it sorts last.
      const placed = list.sort(
        (a, b) =>
          a.at - b.at ||
          rankOf(symbols.bind(b.symbol)) - rankOf(symbols.bind(a.symbol)) ||
          b.symbol - a.symbol,
      );
      this.#bySection.set(section, { placed, starts: Float64Array.from(placed, ({ at }) => at) });
    }
  }
  around(
    site: Pick<Site, 'section' | 'at'>,
  ): { readonly name: string; readonly offset: number } | null {
    const known = this.#bySection.get(site.section);
    const found = known?.placed[lastNotAbove(known.starts, site.at)];
    if (!found || !this.#symbols) return null;
    const size = this.#symbols.size(found.symbol);
    // A symbol of size 0 comes from assembly that did not state it.
    if (size > 0 && site.at >= found.at + size) return null;
    return { name: this.#symbols.label(found.symbol), offset: site.at - found.at };
  }
}

function namesCode(symbols: SymbolTable, i: number): boolean {
  const type = symbols.type(i);
  if (type === STT_FUNC || type === STT_GNU_IFUNC) return true;
  return type === STT_NOTYPE && symbols.bind(i) === STB_GLOBAL;
}

/** Global (and STB_GNU_UNIQUE, 10) before weak before local. */
function rankOf(bind: number): number {
  if (bind === STB_LOCAL) return 2;
  return bind === STB_WEAK ? 1 : 0;
}
