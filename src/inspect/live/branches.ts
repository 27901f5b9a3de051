// Static keys of a kernel in memory: each branch of its tables, against the key that it tests. A
// branch jumps if its key is on, or unless it is (kernel/jump_label.c, jump_label_type).

import { hex, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { INT3 } from '../../asm/table.js';
import { BRANCH_ENTRY, branchAt, entryAt, type BranchEntry } from '../static-keys.js';
import type { Drift, LiveFacts, LiveSwitch, UnderWay } from './facts.js';
import type { LiveKernel } from './kernel.js';
import { MOST_SITES } from './modules.js';
import { hexOf } from './stands.js';

type Branches = Pick<LiveFacts, 'switches' | 'drift' | 'underWay'> & {
  readonly counts: Pick<LiveFacts['counts'], 'branches' | 'initBranches'>;
};

interface Switch extends LiveSwitch {
  branches: number;
  agreeing: number;
}

interface Differing {
  readonly key: Switch;
  readonly trap: boolean;
  /** A branch of one form or another, or a trap: what an update leaves there meanwhile. */
  readonly whole: boolean;
  readonly drift: Drift;
}

/** The longest form. */
const LENGTH = 5;

/** @throws Fault `bad-kernel`, `page-missing`. */
export function readBranches(kernel: LiveKernel): Branches {
  return new Reader(kernel).branches();
}

class Reader {
  readonly #kernel: LiveKernel;
  readonly #keys = new Map<Addr, Switch>();
  readonly #drift: Drift[] = [];
  readonly #differing: Differing[] = [];
  #count = 0;
  #init = 0;

  constructor(kernel: LiveKernel) {
    this.#kernel = kernel;
  }

  branches(): Branches {
    const start = this.#kernel.find('__start___jump_table');
    const stop = this.#kernel.find('__stop___jump_table');
    if (start !== undefined && stop !== undefined)
      this.#table(start, (stop - start) / BRANCH_ENTRY, null);
    for (const { name, branches } of this.#kernel.modules)
      this.#table(branches.at, branches.count, name);
    const underWay = this.#underWay();
    const differing = underWay ? [] : this.#differing.map(({ drift }) => drift);
    return {
      counts: { branches: this.#count, initBranches: this.#init },
      switches: [...this.#keys.values()]
        .map(({ agreeing: _, ...key }) => key)
        .sort((a, b) => (a.name < b.name ? -1 : 1)),
      drift: [...this.#drift, ...differing],
      underWay,
    };
  }

  #table(at: Addr, count: number, module: string | null): void {
    if (!Number.isInteger(count) || count < 0 || count > MOST_SITES)
      throw new Fault('bad-kernel', `a table of ${count} branches`, { at: module ?? 'vmlinux' });
    if (count === 0) return;
    const table = this.#kernel.memory.view(at, count * BRANCH_ENTRY, 'the table of branches');
    for (let i = 0; i < count; i++)
      this.#branch(entryAt(table, i * BRANCH_ENTRY, at), at + i * BRANCH_ENTRY, module);
  }

  #branch(entry: BranchEntry, where: Addr, module: string | null): void {
    const { code, to, negated } = entry;
    const init = entry.marked || this.#kernel.freed(code);
    const key = this.#keyAt(entry.key);
    if (!key || (!init && !this.#kernel.runs(code)))
      return void this.#drift.push({
        kind: 'table',
        key: key?.name ?? null,
        at: where,
        place: `the table of branches of ${module ?? 'vmlinux'}`,
        bytes: hexOf(this.#kernel.memory.find(where, BRANCH_ENTRY)),
        stands: key
          ? `an entry that leads to ${hex(code)}, which is no text`
          : `an entry that leads to ${hex(entry.key)}, which is no key`,
        says: 'each entry leads to a branch and to its key',
      });
    this.#count++;
    key.branches++;
    if (init) {
      this.#init++;
      return;
    }
    const jumps = key.on !== negated;
    const bytes = this.#kernel.memory.read(code, LENGTH, 'a branch');
    const trap = bytes[0] === INT3;
    const stands = branchAt(bytes, code);
    if (stands && stands.taken === jumps && (stands.to === null || stands.to === to)) {
      key.agreeing++;
      return;
    }
    this.#differing.push({
      key,
      trap,
      whole: trap || (stands !== null && (stands.to === null || stands.to === to)),
      drift: {
        kind: trap ? 'foreign int3' : 'branch',
        key: key.name,
        at: code,
        place: this.#kernel.describe(code),
        bytes: hexOf(bytes),
        stands: this.#said(trap, stands),
        says: jumps ? `jmp ${this.#kernel.describe(to)}` : 'nop',
      },
    });
  }
  #said(trap: boolean, stands: ReturnType<typeof branchAt>): string {
    if (trap) return 'int3';
    if (!stands) return 'other bytes';
    return stands.to === null ? 'nop' : `jmp ${this.#kernel.describe(stands.to)}`;
  }

  /** Null where there can be no key. */
  #keyAt(at: Addr): Switch | null {
    const known = this.#keys.get(at);
    if (known) return known;
    if (at % 8 !== 0 || !this.#kernel.holds(at)) return null;
    // Below zero while it is being turned on: its branches are to jump from then on.
    const enabled = this.#kernel.memory.u32(at, 'a static key');
    const key = {
      name: this.#kernel.dataAt(at) ?? `key_${hex(at).slice(2)}`,
      module: this.#kernel.moduleOf(at)?.name ?? null,
      address: at,
      on: enabled !== 0,
      branches: 0,
      agreeing: 0,
    };
    this.#keys.set(at, key);
    return key;
  }

  /** A key is changed under a lock: its branches in batches, each branch in three steps. */
  #underWay(): UnderWay | null {
    const [first] = this.#differing;
    if (!first || !this.#kernel.locked(['text_mutex', 'jump_label_mutex'])) return null;
    const { key } = first;
    if (this.#differing.some((each) => each.key !== key || !each.whole)) return null;
    const trap = this.#differing.filter((each) => each.trap).length;
    return { key: key.name, old: this.#differing.length - trap, new: key.agreeing, trap };
  }
}
