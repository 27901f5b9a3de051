// A key: what the C side's DEFINE_STATIC_CALL and STATIC_CALL_TARGET say about one static call of one object,
// with the sites that call it. Addresses are as linked; who loads the object adds its bias.

import type { Addr } from '../base/addr.js';
import type { Site } from '../sites/site.js';

/** `integer`: an integer or pointer of at most eight bytes, so that returning 0 makes sense. */
export type ReturnClass = 'void' | 'integer' | 'other';

export interface DeclaredTarget {
  readonly name: string;
  /** null where another object defines it and the dynamic linker finds it. */
  readonly address: Addr | null;
}

export interface KeyDef {
  /** `blend` for `__SCK__blend`. */
  readonly name: string;
  /** The `struct static_call_key` in this object; null where another object defines the key. */
  readonly address: Addr | null;
  /** `__SCT__blend` in this object; null where another object defines it. */
  readonly trampoline: Addr | null;
  /** null where nothing tells: the key is defined elsewhere, or by a header that does not record it. */
  readonly returns: ReturnClass | null;
  /** What the trampoline does as linked. */
  readonly initial: { readonly kind: 'function'; readonly name: string } | { readonly kind: 'null' } | { readonly kind: 'ret0' } | null;
  readonly targets: readonly DeclaredTarget[];
  /** Ascending by address. */
  readonly sites: readonly Site[];
}

/** The name by which a key that returns an integer or a pointer is told to return 0. */
export const RETURN0 = 'ret0';
