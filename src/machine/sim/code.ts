// The code of the simulated machine as it is before the first update: what the assembler made, by
// address, with its labels and the rules that each piece carries for finding a caller.

import { bitsFromAddr, type Addr } from '../../base/addr.js';
import { invariant } from '../../base/invariant.js';
import { assemble, type CfaRule, type Program } from '../../asm/assembler.js';

export interface Span {
  readonly from: number;
  readonly to: number;
}

export interface Blob {
  readonly name: string;
  readonly at: Addr;
  readonly bytes: Uint8Array;
  readonly cfa: readonly { readonly offset: number; readonly rule: CfaRule }[];
  /** Offsets of code that is exempt from lockdep, call chain and flags: entry and exit code. */
  readonly exempt: readonly Span[];
}

/** What the rules for a caller say of the first instruction of a function. */
export const CALLED: Blob['cfa'] = [{ offset: 0, rule: { kind: 'call', base: 'rsp', offset: 8 } }];

export class Code {
  readonly #blobs: Blob[] = [];
  readonly #labels = new Map<string, Addr>();
  readonly #bytes = new Map<Addr, number | undefined>();
  readonly #rules = new Map<Addr, CfaRule | 'exempt' | null>();
  readonly #names = new Map<Addr, string>();

  put(blob: Blob): void {
    this.#blobs.push(blob);
  }

  /** Assembles a program there; its labels are known from then on. */
  add(
    name: string,
    at: Addr,
    program: Program,
    symbols: Readonly<Record<string, Addr>> = {},
    exempt: readonly Span[] = [],
  ): ReadonlyMap<string, Addr> {
    const code = assemble(program, { at, symbols });
    this.put({ name, at, bytes: code.bytes, cfa: code.cfa, exempt });
    const placed = new Map([...code.labels].map(([key, offset]) => [key, at + offset]));
    for (const [key, where] of placed) this.name(key, where);
    return placed;
  }

  name(label: string, at: Addr): void {
    this.#labels.set(label, at);
  }
  label(name: string): Addr | undefined {
    return this.#labels.get(name);
  }
  labelled(name: string): Addr {
    const at = this.#labels.get(name);
    invariant(at !== undefined, `the fixture has no code ${name}`);
    return at;
  }
  /** Every label by name, as symbols for code that is assembled next. */
  get symbols(): Readonly<Record<string, Addr>> {
    return Object.fromEntries(this.#labels);
  }

  blob(name: string): Blob {
    const blob = this.#blobs.find((each) => each.name === name);
    invariant(blob !== undefined, `the fixture has no code ${name}`);
    return blob;
  }

  #at(at: Addr): Blob | undefined {
    return this.#blobs.find((blob) => at >= blob.at && at < blob.at + blob.bytes.length);
  }

  /** A byte as it was at the start; where two pieces overlap, the one that was put last. */
  byte(at: Addr): number | undefined {
    if (this.#bytes.has(at)) return this.#bytes.get(at);
    const blob = this.#blobs.findLast((each) => at >= each.at && at < each.at + each.bytes.length);
    const value = blob?.bytes[at - blob.at];
    this.#bytes.set(at, value);
    return value;
  }

  /**
   * How the caller's frame is found at an instruction: its rule, `exempt` in entry code, or null
   * where nothing says.
   */
  rule(at: Addr): CfaRule | 'exempt' | null {
    let rule = this.#rules.get(at);
    if (rule === undefined) this.#rules.set(at, (rule = this.#ruleAt(at)));
    return rule;
  }

  #ruleAt(at: Addr): CfaRule | 'exempt' | null {
    const blob = this.#at(at);
    if (blob === undefined) return null;
    const offset = at - blob.at;
    if (blob.exempt.some(({ from, to }) => offset >= from && offset < to)) return 'exempt';
    return blob.cfa.findLast((each) => each.offset <= offset)?.rule ?? null;
  }

  /** For people: a label and an offset. */
  nameOf(at: Addr): string {
    let name = this.#names.get(at);
    if (name === undefined) this.#names.set(at, (name = this.#nameOf(at)));
    return name;
  }
  #nameOf(at: Addr): string {
    const blob = this.#at(at);
    if (blob === undefined) return `0x${bitsFromAddr(at).toString(16)}`;
    let best: [string, Addr] | null = null;
    for (const [name, where] of this.#labels)
      if (where <= at && (best === null || where >= best[1])) best = [name, where];
    if (best === null || best[1] < blob.at) return `${blob.name}+${at - blob.at}`;
    return at === best[1] ? best[0] : `${best[0]}+${at - best[1]}`;
  }
}
