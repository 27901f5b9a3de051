// Keys, trampolines and sites of a kernel in memory, and where they disagree. A key says where its
// calls go; its trampoline and each of its sites must do that.

import { hex, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { KEY_PREFIX, SITE_INIT, SITE_TAIL, TRAMPOLINE_PREFIX } from '../../sites/site.js';
import type { BareReturn, Drift, LiveFacts, LiveKey, LiveSite, UnderWay } from './facts.js';
import type { LiveKernel } from './kernel.js';
import { dispatches, keyAt, keysOf, modulesOf, probesOf, type Key } from './keys.js';
import { MOST_SITES, nameOfModule } from './modules.js';
import { atSite, atTrampoline, hexOf, wanted, type Leads, type Stands } from './stands.js';

const PAIR = 8;

type Calls = Pick<LiveFacts, 'sites' | 'keys' | 'drift' | 'underWay' | 'bareReturns'> & {
  readonly counts: Pick<LiveFacts['counts'], 'sites' | 'init'>;
};

/**
 * `listed`: with every site as a row.
 * @throws Fault `bad-kernel`, `page-missing`.
 */
export function readCalls(kernel: LiveKernel, { listed }: { readonly listed: boolean }): Calls {
  return new Reader(kernel, listed).calls();
}

interface Entry {
  /** In the table. */
  readonly entry: Addr;
  readonly at: Addr;
  readonly key: Addr;
  readonly flags: number;
  readonly module: string | null;
}

interface Differing {
  readonly key: Key;
  readonly leads: Leads;
  readonly drift: Drift;
}

class Reader {
  readonly #kernel: LiveKernel;
  readonly #listed: boolean;
  readonly #keys: Map<Addr, Key>;
  readonly #rows: LiveSite[] = [];
  readonly #drift: Drift[] = [];
  readonly #differing: Differing[] = [];
  readonly #bare: BareReturn[] = [];
  readonly #sites = new Map<Key, number>();
  readonly #agreeing = new Map<Key, number>();
  #thunks = 0;
  #init = 0;

  constructor(kernel: LiveKernel, listed: boolean) {
    this.#kernel = kernel;
    this.#listed = listed;
    this.#keys = keysOf(kernel);
  }

  calls(): Calls {
    const start = this.#kernel.place('__start_static_call_sites');
    const bytes = this.#kernel.place('__stop_static_call_sites') - start;
    this.#table(start, bytes / PAIR, null);
    for (const { name, sites } of this.#kernel.modules) this.#table(sites.at, sites.count, name);
    for (const key of this.#keys.values()) {
      this.#trampoline(key);
      this.#modules(key);
    }
    const keys = [...this.#keys.values()].map((key) => this.#factsOf(key));
    const underWay = this.#underWay();
    const differing = underWay ? [] : this.#differing.map(({ drift }) => drift);
    const sites = [...this.#sites.values()].reduce((sum, n) => sum + n, 0);
    return {
      counts: { sites, init: this.#init },
      sites: this.#rows,
      keys: keys.sort((a, b) => (a.name < b.name ? -1 : 1)),
      drift: [...this.#drift, ...differing],
      underWay,
      // Where no return goes by way of a thunk, the kernel uses none.
      bareReturns: this.#thunks > 0 ? this.#bare : [],
    };
  }

  #table(at: Addr, count: number, module: string | null): void {
    if (!Number.isInteger(count) || count < 0 || count > MOST_SITES)
      throw new Fault('bad-kernel', `a table of ${count} sites`, { at: module ?? 'vmlinux' });
    if (count === 0) return;
    const table = this.#kernel.memory.view(at, count * PAIR, 'the table of sites');
    for (let i = 0; i < count; i++) {
      const entry = at + i * PAIR;
      const word = entry + 4 + table.getInt32(i * PAIR + 4, true);
      // Two low bits of the key's address are flags; `%` keeps the sign of an address.
      const flags = ((word % 4) + 4) % 4;
      const site = entry + table.getInt32(i * PAIR, true);
      this.#site({ entry, at: site, key: word - flags, flags, module });
    }
  }

  #site(entry: Entry): void {
    const { at, flags, module } = entry;
    const key = keyAt(this.#kernel, this.#keys, entry.key);
    const init = (flags & SITE_INIT) !== 0 || this.#kernel.freed(at);
    if (!key) return this.#stray(entry, null, `${hex(entry.key)}, which is no key`);
    if (!init && !this.#kernel.runs(at))
      return this.#stray(entry, key.name, `${hex(at)}, which is no text`);
    this.#sites.set(key, (this.#sites.get(key) ?? 0) + 1);
    if (init) this.#init++;
    const tail = (flags & SITE_TAIL) !== 0;
    const stands = init ? null : atSite(this.#kernel, at, tail);
    if (stands) this.#judge(key, stands, at, tail, 'site');
    if (!this.#listed) return;
    this.#rows.push({
      at,
      place: init ? hex(at) : this.#kernel.describe(at),
      module,
      key: key.name,
      tail,
      init,
      bytes: hexOf(stands?.bytes ?? null),
      stands: stands?.text ?? 'freed',
    });
  }
  #stray({ entry, module }: Entry, key: string | null, where: string): void {
    this.#drift.push({
      kind: 'table',
      key,
      at: entry,
      place: `the table of sites of ${module ?? 'vmlinux'}`,
      bytes: hexOf(this.#kernel.memory.find(entry, PAIR)),
      stands: `an entry that leads to ${where}`,
      says: 'each entry leads to a site and to its key',
    });
  }

  #trampoline(key: Key): void {
    const { trampoline: at } = key;
    if (at !== null) this.#judge(key, atTrampoline(this.#kernel, at), at, true, 'trampoline');
  }

  #judge(key: Key, stands: Stands, at: Addr, tail: boolean, kind: 'site' | 'trampoline'): void {
    const { leads, returns, text } = stands;
    const trampoline = kind === 'trampoline';
    const place = (): string =>
      trampoline ? this.#symbol(TRAMPOLINE_PREFIX, key) : this.#kernel.describe(at);
    if (returns === 'thunk') this.#thunks++;
    if (returns === 'bare') this.#bare.push({ at, place: place(), key: key.name, trampoline });
    if (leads === key.func) {
      if (!trampoline) this.#agreeing.set(key, (this.#agreeing.get(key) ?? 0) + 1);
      return;
    }
    const drift: Drift = {
      kind: leads === 'trap' ? 'foreign int3' : kind,
      key: key.name,
      at,
      place: place(),
      bytes: hexOf(stands.bytes),
      stands: text,
      says: wanted(this.#kernel, key.func, tail),
    };
    this.#differing.push({ key, leads, drift });
  }
  #symbol(prefix: string, { name, module }: Key): string {
    return `${prefix}${name}${module === null ? '' : ` [${module}]`}`;
  }

  /**
   * The kernel changes one key at a time, under a lock: its trampoline, then its sites in order,
   * each in three steps. So an update is under way if a lock is held and all that differs is of one
   * key and leads where that key led before.
   */
  #underWay(): UnderWay | null {
    const [first] = this.#differing;
    if (!first || !this.#kernel.locked(['text_mutex', 'static_call_mutex'])) return null;
    const { key } = first;
    const before = new Set(this.#differing.map(({ leads }) => leads).filter((l) => l !== 'trap'));
    const traps = this.#differing.filter(({ leads }) => leads === 'trap').length;
    const one = this.#differing.every((each) => each.key === key);
    if (!one || before.size > 1 || before.has(null) || traps > 1) return null;
    const old = this.#differing.length - traps;
    return { key: key.name, old, new: this.#agreeing.get(key) ?? 0, trap: traps };
  }

  #modules(key: Key): void {
    const { types, memory, modules } = this.#kernel;
    for (const at of modulesOf(this.#kernel, key)) {
      if (!types || modules.some((module) => module.at === at)) continue;
      this.#drift.push({
        kind: 'unlisted module',
        key: key.name,
        at,
        place: `struct module ${nameOfModule(memory, types, at)}`,
        bytes: '',
        stands: 'a module with sites of this key',
        says: 'it is not in the list of modules',
      });
    }
  }

  #factsOf(key: Key): LiveKey {
    const { func, name, module, at, trampoline } = key;
    const outside = func !== 0 && !this.#kernel.runs(func) && !dispatches(this.#kernel, key);
    if (outside)
      this.#drift.push({
        kind: 'outside',
        key: name,
        at,
        place: this.#symbol(KEY_PREFIX, key),
        bytes: hexOf(this.#kernel.memory.find(at, 8)),
        stands: this.#kernel.describe(func),
        says: "a function in the kernel's text or in a module's",
      });
    return {
      name,
      module,
      address: at,
      func,
      now: func === 0 ? null : this.#kernel.describe(func),
      outside,
      sites: this.#sites.get(key) ?? 0,
      trampoline,
      probes: probesOf(this.#kernel, key),
    };
  }
}
