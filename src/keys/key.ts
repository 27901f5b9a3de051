// A key: what the C side's DEFINE_STATIC_CALL and STATIC_CALL_TARGET say about one static call of
// one object, or DEFINE_STATIC_KEY about one static key, with its sites. Addresses are as linked;
// whatever loads the object adds its bias.

import type { Addr } from '../base/addr.js';
import type { Site, SiteKind } from '../sites/site.js';

/** `integer`: an integer or pointer of at most eight bytes, so that returning 0 makes sense. */
export type ReturnClass = 'void' | 'integer' | 'other';

export interface DeclaredTarget {
  readonly name: string;
  /** null where only the dynamic linker knows: another object defines it, or it is an IFUNC. */
  readonly address: Addr | null;
  /**
   * Where the loaded object holds the function's final address, eight bytes that the dynamic linker
   * has filled in. It wins over `address`, which another object's symbol of the same name may have
   * preempted.
   */
  readonly slot: Addr;
}

/**
 * As a target's name: the key returns 0. Only keys for which the C side declared it accept it.
 */
export const RET0 = 'ret0';

export interface KeyDef {
  /** `blend` for `__SCK__blend`. */
  readonly name: string;
  /** A static call, whose sites call; or a static key, whose sites branch. */
  readonly kind: 'call' | 'branch';
  /**
   * The `struct static_call_key` or `struct static_key` in this object; null where another object
   * defines the key.
   */
  readonly address: Addr | null;
  /** `__SCT__blend` in this object; null where another object defines it, and for a static key. */
  readonly trampoline: Addr | null;
  /**
   * null where nothing tells: the key is defined elsewhere, or by a header that does not record it.
   */
  readonly returns: ReturnClass | null;
  /** What the trampoline does as linked, or whether the static key is on. */
  readonly initial:
    | { readonly kind: 'function'; readonly name: string }
    | { readonly kind: 'null' }
    | { readonly kind: 'ret0' }
    | { readonly kind: 'on' | 'off' }
    | null;
  readonly targets: readonly DeclaredTarget[];
  /** Whether the C side declared that the key may be empty, and that it may return 0. */
  readonly mayBeNull: boolean;
  readonly mayReturn0: boolean;
  /** Ascending by address. */
  readonly sites: readonly Site<SiteKind>[];
}

/**
 * What `update` accepts for a key: its declared targets, null where it may be empty, 'ret0' where
 * it may return 0; false and true for a static key.
 */
export function accepted(key: KeyDef): (string | null | boolean)[] {
  if (key.kind === 'branch') return [false, true];
  const names: (string | null)[] = key.targets.map((t) => t.name);
  if (key.mayBeNull) names.push(null);
  if (key.mayReturn0) names.push(RET0);
  return names;
}
