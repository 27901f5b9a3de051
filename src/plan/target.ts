// Where calls of a key go, or whether a static key is on, and what a key's word says of it.

import type { Addr } from '../base/addr.js';
import { emulationWord, readWord } from '../trap/registry.js';
import { BRANCHES, TRANSFORM, type TargetKind } from './transform.js';

/**
 * Where calls of a key go, or whether a static key is on. The address of null is 0; that of `ret0`
 * is the object's shared return-0 function.
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

/** The address is what C reads in the key. */
export const ON: Target = { kind: 'on', address: 1 };
export const OFF: Target = { kind: 'off', address: 0 };
export const switchedTo = (on: boolean): Target => (on ? ON : OFF);

/** What a record's call word says. */
export function targetOf(callWord: number): Target {
  const { form, target } = readWord(callWord);
  if (form === 'nop') return { kind: 'null', address: 0 };
  if (form === 'ret0') return { kind: 'ret0', address: 0 };
  if (form === 'taken') return ON;
  if (form === 'passed') return OFF;
  return { kind: 'function', address: target };
}

/** The call word of a target. Two targets are the same if their words are. */
export function callWordOf({ kind, address }: Target): number {
  if (kind === 'on' || kind === 'off') return emulationWord(BRANCHES.if[kind].emulate);
  const { emulate, to } = TRANSFORM.call[kind];
  return emulationWord(emulate, to === null ? 0 : address);
}

export const sameTarget = (a: Target, b: Target): boolean =>
  a.kind === b.kind && (a.kind !== 'function' || a.address === b.address);
