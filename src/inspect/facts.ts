// What an inspection says of a file: plain records, ready to be printed, counted, compared or made
// JSON. They hold strings and numbers and nothing of the file's bytes, so the buffer that was read
// can be used again for the next of a thousand files.

import { crossesLine, LINE, type Addr } from '../base/addr.js';
import { isFault, type FaultCode } from '../base/fault.js';
import { acceptsChange } from '../plan/draw.js';
import type { Protocol } from '../plan/protocol.js';
import { PROTOCOL_NAMES, RUNNABLE } from '../plan/protocols/index.js';
import { SITE_INIT, SITE_TAIL, type Site, type CallKind } from '../sites/site.js';
import { compiledForm, DISPLACEMENT } from '../x86/forms.js';
import type { PlaceFacts } from './place.js';
import type { StaticKeyFacts } from './static-keys.js';

export type FileKind = 'relocatable' | 'module' | 'shared' | 'executable' | 'vmlinux' | 'image';

export interface SiteFacts extends PlaceFacts {
  readonly key: string;
  readonly keySymbol: string;
  readonly kind: CallKind;
  readonly tail: boolean;
  readonly init: boolean;
  /** Over all bytes of the instruction, and over the four that say where it leads. */
  readonly crossesLine: boolean;
  readonly destinationCrossesLine: boolean;
  /**
   * False where the section is aligned to less than a line, so that only linking or loading
   * decides; it is then taken to begin at one.
   */
  readonly lineCertain: boolean;
  readonly bytes: string;
  /** Those of our protocols that patch this site in place. */
  readonly protocols: readonly string[];
}

export interface Target {
  /**
   * Where a call of the key ends as the file stands: a symbol, else an address; null where it is
   * empty or not known.
   */
  readonly target: string | null;
  readonly targetKnown: boolean;
}

/**
 * Where the kernel's trampoline of an empty key jumps to, if it was built to return by way of a
 * thunk.
 */
const RETURN_THUNK = '__x86_return_thunk';

/** `symbol` is where a trampoline or key leads, null where it leads nowhere. */
export function knownTarget(symbol: string | null): Target {
  return { target: symbol === RETURN_THUNK ? null : symbol, targetKnown: true };
}

/** A key that some site of the file calls. */
export interface KeyFacts extends Target {
  readonly name: string;
  readonly symbol: string;
  /** Of its trampoline as linked; null in a relocatable file, and where another file defines it. */
  readonly trampoline: Addr | null;
  readonly sites: number;
}

/** A trampoline that the file defines, called or not. */
export interface TrampolineFacts extends Target {
  readonly key: string;
  readonly symbol: string;
  readonly section: string | null;
  readonly offset: number;
  readonly address: Addr | null;
  readonly sites: number;
}

export interface FaultFacts {
  readonly code: FaultCode;
  readonly message: string;
  readonly hint: string;
  readonly at: string | null;
}

/** How a kernel's sites were found, and what speaks for them. */
export interface KernelFacts {
  readonly table: Addr | null;
  /** Where names come from: `kallsyms` out of the image, its `symtab`, or nowhere. */
  readonly names: 'kallsyms' | 'symtab' | null;
  readonly symbols: number;
  /**
   * Branches to a trampoline, byte by byte through the text: those that the table lists, and the
   * others.
   */
  readonly branches: { readonly listed: number; readonly unlisted: number };
}

export interface FileFacts {
  readonly path: string;
  /** Null where the file could not be read as any of them; `faults` says why. */
  readonly kind: FileKind | null;
  readonly sites: readonly SiteFacts[];
  readonly keys: readonly KeyFacts[];
  readonly trampolines: readonly TrampolineFacts[];
  readonly faults: readonly FaultFacts[];
  readonly kernel?: KernelFacts;
  /** Where it has some. */
  readonly staticKeys?: StaticKeyFacts;
  /** What a reader of the numbers should know besides. */
  readonly remark?: string;
}

/**
 * Asked of the plan itself, so that no other answer is given here than when it is run. A call
 * through a slot changes wholly when it becomes a direct one.
 */
const acceptedBy = (protocol: Protocol, at: Addr, length: number, direct: boolean): boolean =>
  acceptsChange(protocol.accepts, at, length, direct ? length - DISPLACEMENT : 0, length);

export interface SitePlace {
  readonly section: string | null;
  readonly offset: number;
  readonly address: Addr | null;
  readonly align: number;
  readonly function: { readonly name: string; readonly offset: number } | null;
}

export function siteFacts(
  site: Omit<Site, 'section' | 'at' | 'condition'>,
  place: SitePlace,
  bytes: Uint8Array,
): SiteFacts {
  const at = place.address ?? place.offset;
  const { length } = site;
  const direct = compiledForm(bytes, 0)?.indirect !== true;
  return {
    section: place.section,
    offset: place.offset,
    address: place.address,
    function: place.function?.name ?? null,
    functionOffset: place.function?.offset ?? 0,
    key: site.key,
    keySymbol: site.keySymbol,
    kind: site.kind,
    tail: (site.flags & SITE_TAIL) !== 0,
    // The kernel sets the flag when it boots or loads: what lies in an init section is what it sets
    // it for.
    init: (site.flags & SITE_INIT) !== 0 || (place.section?.startsWith('.init') ?? false),
    crossesLine: crossesLine(at, length),
    destinationCrossesLine: crossesLine(at + length - DISPLACEMENT, DISPLACEMENT),
    lineCertain: place.address !== null || place.align >= LINE,
    bytes: Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' '),
    protocols: PROTOCOL_NAMES.filter((name) => acceptedBy(RUNNABLE[name], at, length, direct)),
  };
}

/**
 * The keys that sites call, in the order of their names, joined with the trampolines that the file
 * defines.
 */
export function keyFacts(
  sites: readonly SiteFacts[],
  trampolines: readonly TrampolineFacts[],
): KeyFacts[] {
  const defined = new Map(trampolines.map((t) => [t.key, t]));
  const keys = new Map<string, { symbol: string; sites: number }>();
  for (const site of sites) {
    const known = keys.get(site.key);
    if (known) known.sites++;
    else keys.set(site.key, { symbol: site.keySymbol, sites: 1 });
  }
  return [...keys]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { symbol, sites: count }]) => {
      const trampoline = defined.get(name);
      return {
        name,
        symbol,
        trampoline: trampoline?.address ?? null,
        sites: count,
        target: trampoline?.target ?? null,
        targetKnown: trampoline?.targetKnown ?? false,
      };
    });
}

export function countByKey(
  sites: readonly { readonly key: string }[],
): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { key } of sites) counts.set(key, (counts.get(key) ?? 0) + 1);
  return counts;
}

/** A Fault to what is told of it; anything else is a bug of ours and goes on. */
export function faultFacts(error: unknown): FaultFacts {
  if (!isFault(error)) throw error;
  return { code: error.code, message: error.message, hint: error.hint, at: error.at ?? null };
}
