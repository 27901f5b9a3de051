// A site: one instruction that calls, jumps or conditionally jumps to a key's trampoline, or that
// branches on a static key.

/**
 * What the compiler put there. `jmp` and `jcc` are tail calls: the target returns to the site's
 * caller.
 */
export type CallKind = 'call' | 'jmp' | 'jcc';

/**
 * A branch on a static key, as its table lists it: it jumps if the key is on, or unless it is.
 */
export type BranchKind = 'if' | 'unless';

export type SiteKind = CallKind | BranchKind;

export const isBranch = (kind: SiteKind): kind is BranchKind => kind === 'if' || kind === 'unless';

/**
 * Low bits of the key address in a `.static_call_sites` entry (STATIC_CALL_SITE_TAIL,
 * STATIC_CALL_SITE_INIT).
 */
export const SITE_TAIL = 1;
export const SITE_INIT = 2;

export const KEY_PREFIX = '__SCK__';
export const TRAMPOLINE_PREFIX = '__SCT__';

export interface Site<K extends SiteKind = CallKind> {
  /**
   * Header index of the section that holds the instruction; 0 where the file has no section
   * headers.
   */
  readonly section: number;
  /** Relocatable file: offset in that section. Linked file: virtual address as linked. */
  readonly at: number;
  /**
   * Constant for its site whatever is written there: 5, or 6 for jcc, `addr32 call` and calls
   * through the GOT; more with prefixes.
   */
  readonly length: number;
  readonly kind: K;
  /** Condition of a `jcc`, 0 to 15 as in the opcode; 0 for the others. */
  readonly condition: number;
  /** SITE_TAIL, SITE_INIT. */
  readonly flags: number;
  /** The key's bare name: `blend` for `__SCK__blend`. */
  readonly key: string;
  /**
   * The symbol that a table entry names: the key's, or the trampoline's where the file does not
   * know the key.
   */
  readonly keySymbol: string;
}

/** `blend` for `__SCK__blend` and `__SCT__blend`: the prefixes are of one length. */
export function bareName(symbol: string): string {
  return symbol.slice(KEY_PREFIX.length);
}
