// A log of what a kernel did to its text, held against a protocol's steps: each batch is accepted, or
// refused at the first step that is not done as the protocol says. The log shows the order of the
// steps and that every CPU synchronised between two of them. It cannot show that this suffices, which
// is what the search is for.

import { hex, type Addr } from '../base/addr.js';
import { Fault } from '../base/fault.js';
import type { Protocol, Step } from '../plan/protocol.js';

/** One thing that happened, as a recorder writes it: a line of JSON. */
export type PokeEvent = { readonly cpu: number } & (
  | { readonly op: 'store'; readonly at: Addr; readonly bytes: Uint8Array }
  | { readonly op: 'sync' }
  | { readonly op: 'trap'; readonly at: Addr }
  /** Null where an interrupt was taken before the CPU went on. */
  | { readonly op: 'resume'; readonly to: Addr | null }
);

export interface PokeLog {
  /** All of them must synchronise. */
  readonly cpus: readonly number[];
  /** Where the table of patched addresses keeps its words. */
  readonly words: Readonly<Record<'vec' | 'count' | 'refs', Addr>>;
  /**
   * `__static_call_return0`, where a trap goes on at a site that is to return 0; null where the
   * recorder does not say.
   */
  readonly return0: Addr | null;
  readonly events: readonly PokeEvent[];
}

export interface Refusal {
  /** The batch and the event, counted from 1; the event is a line of the log behind the header. */
  readonly batch: number;
  readonly event: number;
  /** Counted from 1, and what it is. */
  readonly step: number;
  readonly expected: string;
  readonly found: string;
}

export interface Conformance {
  readonly batches: number;
  readonly conform: number;
  /** Batches of which no store to text was watched: a module's. */
  readonly unseen: number;
  /** Batches in which the updater went to another CPU between two stores. */
  readonly migrated: number;
  readonly sites: number;
  readonly refusals: readonly Refusal[];
  /** Traps by the last store before them. */
  readonly traps: Readonly<Record<'after trap' | 'after rest' | 'after first' | 'outside', number>>;
  /** CPUs that went on where the new instruction leads; elsewhere; and where the log cannot tell. */
  readonly resumed: { readonly new: number; readonly other: number; readonly unknown: number };
}

/** @throws Fault `bad-usage` where the protocol has steps that no log shows. */
export function conform(protocol: Protocol, log: PokeLog): Conformance {
  const acceptor = new Acceptor(protocol, log);
  for (const event of log.events) acceptor.take(event);
  return acceptor.result();
}

/** What a step is in the log. */
type Expected =
  | { readonly kind: 'publish' | 'sync' | 'end' }
  | { readonly kind: 'refs'; readonly by: 1 | -1 }
  | { readonly kind: 'store'; readonly part: Part };
type Part = 'trap' | 'rest' | 'first';

function expectedOf(step: Step, { name }: Protocol): Expected {
  switch (step.do) {
    case 'publish':
    case 'sync':
      return { kind: step.do };
    case 'await':
    case 'retire':
      return { kind: 'end' };
    case 'count':
      if (step.word === 'refs') return { kind: 'refs', by: step.by };
      break;
    case 'store': {
      if (step.part === 'first' && step.bytes === 'trap') return { kind: 'store', part: 'trap' };
      if (step.part === 'rest' && step.bytes === 'new') return { kind: 'store', part: 'rest' };
      if (step.part === 'first' && step.bytes === 'new') return { kind: 'store', part: 'first' };
      break;
    }
    default:
      break;
  }
  throw new Fault('bad-usage', `${name} has a step that no log of text_poke shows: ${step.do}`, {
    hint: 'hold the log against int3-gap/counted, which is what the kernel does',
  });
}

const describe = (step: Expected): string => {
  if (step.kind === 'store') return `a store of ${PARTS[step.part]}`;
  if (step.kind === 'refs') return `refs ${step.by > 0 ? '+' : '-'} 1`;
  return STEPS[step.kind];
};
const PARTS = { trap: 'the trap byte', rest: 'the rest', first: 'the new first byte' } as const;
const STEPS = { publish: 'publish', sync: 'every CPU synchronises', end: 'the end' } as const;

interface Site {
  /** The new bytes as far as they are stored; the first one last. */
  readonly bytes: Map<number, number>;
  first: 'trap' | 'new';
}

interface Resumed {
  readonly site: Addr;
  readonly to: Addr | null;
}

const INT3 = 0xcc;
/** A patched instruction is at most so long. */
const LONGEST = 6;
/** Enough to see what is wrong. */
const MOST_REFUSALS = 100;

class Acceptor {
  readonly #log: PokeLog;
  readonly #steps: readonly Expected[];
  /** The next step; null between batches, and after a refusal until the next batch. */
  #next: number | null = null;
  #event = 0;
  #batches = 0;
  #conform = 0;
  #unseen = 0;
  #migrated = 0;
  /** CPUs that the updater stored from in this batch. */
  #updaters = new Set<number>();
  #siteCount = 0;
  #sites = new Map<Addr, Site>();
  #resumes: Resumed[] = [];
  /** CPUs that synchronised since the last store of the patcher. */
  #synced = new Set<number>();
  /** CPUs between a trap and its end, with the place of the trap. */
  readonly #trapped = new Map<number, Addr>();
  readonly #refusals: Refusal[] = [];
  readonly #traps = { 'after trap': 0, 'after rest': 0, 'after first': 0, outside: 0 };
  readonly #resumed = { new: 0, other: 0, unknown: 0 };

  constructor(protocol: Protocol, log: PokeLog) {
    this.#log = log;
    this.#steps = protocol.steps.map((step) => expectedOf(step, protocol));
  }
  result(): Conformance {
    if (this.#next !== null) this.#batches--; // the log ends within it
    return {
      batches: this.#batches,
      conform: this.#conform,
      unseen: this.#unseen,
      migrated: this.#migrated,
      sites: this.#siteCount,
      refusals: this.#refusals,
      traps: this.#traps,
      resumed: this.#resumed,
    };
  }

  take(event: PokeEvent): void {
    this.#event++;
    switch (event.op) {
      case 'sync':
        this.#synced.add(event.cpu);
        return;
      case 'trap':
        this.#trapped.set(event.cpu, event.at);
        this.#traps[this.#phase()]++;
        return;
      case 'resume': {
        const site = this.#trapped.get(event.cpu);
        this.#trapped.delete(event.cpu);
        if (site === undefined) return;
        // After the end of the batch its sites are still known.
        if (this.#next === null) this.#resumed[this.#wentOn(site, event.to)]++;
        else this.#resumes.push({ site, to: event.to });
        return;
      }
      case 'store':
        return this.#store(event.cpu, event.at, event.bytes);
    }
  }

  #store(cpu: number, at: Addr, bytes: Uint8Array): void {
    const { vec, count, refs } = this.#log.words;
    if (at === refs) {
      // A handler counts itself in and out.
      if (this.#trapped.has(cpu)) return;
      const [held = 0] = bytes;
      if (this.#next === null) return;
      this.#updaters.add(cpu);
      if (held === 1 && this.#at('refs', 1)) return this.#pass('refs', 1);
      return this.#reach({ kind: 'refs', by: -1 }, `refs = ${held}`) ? this.#end() : undefined;
    }
    if (at === vec) return this.#begin(cpu);
    if (at === count || this.#next === null) return;
    const part = this.#partOf(at, bytes);
    this.#updaters.add(cpu);
    const found = `a store of ${bytes.length} bytes at ${hex(at)}`;
    if (part === null) return this.#refuse(found);
    if (!this.#reach({ kind: 'store', part }, found)) return;
    this.#note(at, bytes, part);
    this.#synced.clear();
  }

  #begin(cpu: number): void {
    this.#trapped.delete(cpu);
    if (this.#next !== null) this.#refuse('a new batch');
    this.#batches++;
    this.#sites = new Map();
    this.#resumes = [];
    this.#updaters = new Set([cpu]);
    this.#synced.clear();
    this.#next = 0;
    if (this.#steps[0]?.kind === 'publish') this.#next = 1;
  }
  #at(kind: 'refs', by: 1 | -1): boolean {
    const step = this.#steps[this.#next ?? -1];
    return step?.kind === kind && step.by === by;
  }
  #pass(kind: 'refs', by: 1 | -1): void {
    if (this.#next !== null && this.#at(kind, by)) this.#next++;
  }

  /** What a store to text is, by the sites of this batch. */
  #partOf(at: Addr, bytes: Uint8Array): Part | null {
    const own = this.#sites.get(at);
    if (own) return bytes.length === 1 ? 'first' : null;
    for (let site = at - 1; site > at - LONGEST; site--) if (this.#sites.has(site)) return 'rest';
    return bytes.length === 1 && bytes[0] === INT3 ? 'trap' : null;
  }
  #note(at: Addr, bytes: Uint8Array, part: Part): void {
    if (part === 'trap') {
      this.#sites.set(at, { bytes: new Map(), first: 'trap' });
      return;
    }
    let start = at;
    while (!this.#sites.has(start)) start--;
    const site = this.#sites.get(start);
    if (!site) return;
    for (const [i, byte] of bytes.entries()) site.bytes.set(at - start + i, byte);
    if (part === 'first') site.first = 'new';
  }

  /**
   * Goes on to the step, past what lies between: synchronisations that all CPUs have done, and
   * stores that were made. False, with a refusal, where one was not.
   */
  #reach(wanted: Expected, found: string): boolean {
    if (this.#next === null) return false;
    for (let i = this.#next; i < this.#steps.length; i++) {
      const step = this.#steps[i];
      if (!step) break;
      this.#next = i;
      if (same(step, wanted)) return true;
      if (step.kind === 'sync' && this.#log.cpus.every((cpu) => this.#synced.has(cpu))) continue;
      if (step.kind === 'store' && this.#made(step.part)) continue;
      break;
    }
    this.#refuse(found);
    return false;
  }
  /** A batch without a store to watched text goes through by its synchronisations. */
  #made(part: Part): boolean {
    const sites = [...this.#sites.values()];
    if (part === 'rest') return sites.every(({ bytes }) => bytes.has(1));
    return part === 'trap' || sites.every(({ first }) => first === 'new');
  }
  #refuse(found: string): void {
    const step = this.#next ?? 0;
    const expected = this.#steps[step];
    this.#next = null;
    if (this.#refusals.length >= MOST_REFUSALS || !expected) return;
    const missing = this.#log.cpus.filter((cpu) => !this.#synced.has(cpu));
    const who = expected.kind === 'sync' ? `, and CPU ${missing.join(', ')} did not` : '';
    this.#refusals.push({
      batch: this.#batches,
      event: this.#event,
      step: step + 1,
      expected: describe(expected) + who,
      found,
    });
  }

  #end(): void {
    this.#next = null;
    this.#siteCount += this.#sites.size;
    if (this.#sites.size === 0) this.#unseen++;
    if (this.#updaters.size > 1) this.#migrated++;
    let good = true;
    for (const { site, to } of this.#resumes) {
      const verdict = this.#wentOn(site, to);
      this.#resumed[verdict]++;
      good &&= verdict !== 'other';
    }
    if (good) this.#conform++;
    else
      this.#refusals.push({
        batch: this.#batches,
        event: this.#event,
        step: this.#steps.length,
        expected: 'a CPU that traps goes on at the new target',
        found: 'it went on elsewhere',
      });
  }
  #phase(): keyof Conformance['traps'] {
    if (this.#next === null) return 'outside';
    const stores = this.#steps
      .slice(0, this.#next + 1)
      .flatMap((step) => (step.kind === 'store' ? [step.part] : []));
    const last = stores.at(-1);
    return last === undefined ? 'outside' : `after ${last}`;
  }

  /** By the new instruction at the site, decoded far enough to say where it leads. */
  #wentOn(at: Addr, to: Addr | null): 'new' | 'other' | 'unknown' {
    const site = this.#sites.get(at);
    if (!site || to === null) return 'unknown';
    const bytes = Array.from({ length: LONGEST }, (_, i) => site.bytes.get(i) ?? 0);
    const leads = leadsTo(Uint8Array.from(bytes), at, this.#log.return0);
    if (leads.length === 0) return 'unknown';
    return leads.includes(to) ? 'new' : 'other';
  }
}

function same(a: Expected, b: Expected): boolean {
  if (a.kind === 'store') return b.kind === 'store' && a.part === b.part;
  if (a.kind === 'refs') return b.kind === 'refs' && a.by === b.by;
  return a.kind === b.kind;
}

const REL8 = 2;
const REL32 = 5;
const JCC = 6;

/** Where an instruction of the kernel's patching leads; empty where it does not say (`ret`). */
function leadsTo(bytes: Uint8Array, at: Addr, return0: Addr | null): Addr[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  switch (bytes[0]) {
    case 0xe8:
    case 0xe9:
      return [at + REL32 + view.getInt32(1, true)];
    case 0xeb:
      return [at + REL8 + view.getInt8(1)];
    case 0x66:
      return [at + REL8];
    case 0x2e:
      // `xor %eax, %eax` behind prefixes, for which the handler calls the function that returns 0.
      return return0 === null ? [] : [return0];
    case 0x0f:
      if (bytes[1] === 0x1f) return [at + REL32];
      return [at + JCC, at + JCC + view.getInt32(2, true)];
    default:
      return [];
  }
}
