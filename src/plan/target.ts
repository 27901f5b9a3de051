// Where calls of a key go, and what a key's word says of it.

import type { Addr } from '../base/addr.js';
import { readWord } from '../trap/registry.js';
import type { TargetKind } from './transform.js';

/**
 * Where calls of a key go. The address of null is 0; that of `ret0` is the object's shared return-0
 * function.
 */
export interface Target {
  readonly kind: TargetKind;
  readonly address: Addr;
}

/**
 * In place of a target: the file's own instructions, which call the trampoline, and what that does
 * as linked.
 */
export const ORIGINAL: unique symbol = Symbol('original');

/** What a record's call word says. */
export function targetOf(callWord: number): Target {
  const { form, target } = readWord(callWord);
  if (form === 'nop') return { kind: 'null', address: 0 };
  if (form === 'ret0') return { kind: 'ret0', address: 0 };
  return { kind: 'function', address: target };
}

export const sameTarget = (a: Target, b: Target): boolean =>
  a.kind === b.kind && (a.kind !== 'function' || a.address === b.address);
