// The ways by which a site can be brought from one instruction to another while threads run it, the
// cheapest first. What decides is which bytes change and where they lie, so every row of the tables
// of forms is judged alike: a pair of instructions that differ in one byte needs no row here.
//
//   byte     One byte changes. It cannot tear, wherever the site lies: one store, and a
//            synchronisation by which every CPU has let go of the old one.
//   store    What changes lies inside an aligned quadword, and the writer's store is a single one.
//   behind   The site is switched off by a form that keeps its rest (x86/forms.ts). Any mixture of
//            that rest does nothing, so it is written first; after a synchronisation the opcode is
//            one byte.
//   trap     Anything else: the trap byte hides the site while its rest is written.

import { crosses } from '../base/addr.js';
import { isBranch, type SiteKind } from '../sites/site.js';
import { DISPLACEMENT, SITE_FORMS, type SiteForm } from '../x86/forms.js';
import type { Batch } from './batch.js';
import { TRANSFORM } from './transform.js';
import { WAY } from './ways.js';

/** The displacement of the five-byte branches, which one store of four bytes replaces. */
export const FIELD = {
  from: SITE_FORMS.call.displacement,
  to: SITE_FORMS.call.displacement + DISPLACEMENT,
} as const;

/** The form that a site has while it is off, if that keeps its rest. */
export function hidingForm(kind: SiteKind, length: number): SiteForm | null {
  // The displacement of a branch never changes, so there is none to write.
  if (isBranch(kind)) return null;
  const name = TRANSFORM[kind].null.forms[length];
  const off = name === undefined ? null : SITE_FORMS[name];
  return off?.keeps ? off : null;
}

/** The run of bytes that differ; empty if none does. */
export function changedRun(batch: Batch, i: number): { first: number; end: number } {
  let first = 0;
  let end = batch.lengthAt(i);
  while (first < end && batch.old[8 * i + first] === batch.new[8 * i + first]) first++;
  while (end > first && batch.old[8 * i + end - 1] === batch.new[8 * i + end - 1]) end--;
  return { first, end };
}

/** Whether one store inside an aligned quadword replaces what changes (native/stores.ts). */
function inQuadword(batch: Batch, i: number, first: number, end: number): boolean {
  // Where only displacement bytes change all four are stored; any other store exchanges the whole.
  const { from, to } =
    first >= FIELD.from && end <= FIELD.to ? FIELD : { from: 0, to: batch.lengthAt(i) };
  return !crosses('qword', batch.address(i) + from, to - from);
}

/** Whether the rest is free to write, and after it one byte is left. */
function isHidden(batch: Batch, i: number, kind: SiteKind): boolean {
  const form = hidingForm(kind, batch.lengthAt(i));
  if (form === null) return false;
  const opcode = form.length - DISPLACEMENT - 1;
  for (let b = 0; b <= opcode; b++) {
    if (batch.old[8 * i + b] !== form.bytes[b]) return false;
    if (b < opcode && batch.old[8 * i + b] !== batch.new[8 * i + b]) return false;
  }
  return true;
}

/**
 * The cheapest of the allowed ways for the change of a site; 0 where nothing changes. Without any
 * other, a site is trapped.
 * @param allowed bits; `trap` is always allowed
 */
export function wayOf(batch: Batch, i: number, kind: SiteKind, allowed: number): number {
  const { first, end } = changedRun(batch, i);
  if (first === end) return 0;
  if ((allowed & WAY.byte) !== 0 && end - first === 1) return WAY.byte;
  if ((allowed & WAY.store) !== 0 && inQuadword(batch, i, first, end)) return WAY.store;
  if ((allowed & WAY.behind) !== 0 && isHidden(batch, i, kind)) return WAY.behind;
  return WAY.trap;
}
