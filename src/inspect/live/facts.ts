// What is said of a kernel that runs or has run: plain records, for text and for JSON.

import type { Addr } from '../../base/addr.js';

/** How a site, trampoline or branch differs from its key, or a key from the kernel. */
export type DriftKind =
  'site' | 'trampoline' | 'branch' | 'outside' | 'foreign int3' | 'table' | 'unlisted module';

export interface Drift {
  readonly kind: DriftKind;
  /** Of the key, where one is known. */
  readonly key: string | null;
  readonly at: Addr;
  /** `function+0x12 [module]`. */
  readonly place: string;
  readonly bytes: string;
  /** What is there, and what ought to be. */
  readonly stands: string;
  readonly says: string;
}

export interface LiveSite {
  readonly at: Addr;
  readonly place: string;
  readonly module: string | null;
  readonly key: string;
  readonly tail: boolean;
  /** Its text is freed after boot and not looked at. */
  readonly init: boolean;
  readonly bytes: string;
  readonly stands: string;
}

export interface LiveKey {
  readonly name: string;
  /** Null for the kernel itself. */
  readonly module: string | null;
  readonly address: Addr;
  /** 0 where it is empty. */
  readonly func: Addr;
  /** The function's name, its address where it has none, null where the key is empty. */
  readonly now: string | null;
  /** The same as the image has it; undefined without one, or where the image does not say. */
  readonly image?: string | null | undefined;
  /** `now` is neither in the kernel's text nor in a module's. */
  readonly outside: boolean;
  readonly sites: number;
  readonly trampoline: Addr | null;
  /** What a tracepoint's iterator calls. */
  readonly probes: readonly string[];
}

/** A static key: what `static_branch_likely` and its like test. */
export interface LiveSwitch {
  readonly name: string;
  readonly module: string | null;
  readonly address: Addr;
  readonly on: boolean;
  readonly branches: number;
}

export interface UnderWay {
  /** The one key whose sites or branches are partly old and partly new. */
  readonly key: string;
  readonly old: number;
  readonly new: number;
  readonly trap: number;
}

/** A return that does not go by way of the return thunk though others do. */
export interface BareReturn {
  readonly at: Addr;
  readonly place: string;
  readonly key: string;
  readonly trampoline: boolean;
}

export interface LiveFacts {
  readonly kernel: {
    readonly release: string;
    readonly buildId: string | null;
    readonly offset: number;
    /** Of what it was read: `an ELF core`, `/proc/kcore`. */
    readonly source: string;
    /** False for a machine that ran while it was read. */
    readonly stopped: boolean;
  };
  readonly counts: {
    readonly sites: number;
    readonly init: number;
    readonly branches: number;
    readonly initBranches: number;
  };
  /** Empty unless they are asked for. */
  readonly sites: readonly LiveSite[];
  readonly keys: readonly LiveKey[];
  readonly switches: readonly LiveSwitch[];
  readonly drift: readonly Drift[];
  readonly underWay: UnderWay | null;
  readonly bareReturns: readonly BareReturn[];
  readonly modules: readonly { readonly name: string; readonly at: Addr; readonly sites: number }[];
  readonly remarks: readonly string[];
}
