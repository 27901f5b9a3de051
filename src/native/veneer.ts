// Code that lies near an object's sites: the function that returns 0, the one that just returns,
// the jump to a target that a 32-bit displacement does not reach, and the one that counts.

import { INT3 } from '../asm/table.js';
import { assemble, label, mem, place, quad, rip, word, type Code } from '../asm/assembler.js';
import { PAGE, type Addr } from '../base/addr.js';
import { invariant } from '../base/invariant.js';

/** Each of them takes so many bytes, or a multiple of it. */
export const VENEER_SIZE = 16;
export const RETURN0: Code = assemble([['xor', 'eax', 'eax'], ['ret']]);
export const RETURN: Code = assemble([['ret']]);
/** Its one relocated word is `target`. */
export const VENEER: Code = assemble([
  ['jmp', rip('target')],
  label('target'),
  quad(word('target')),
]);
/**
 * Counts a call and goes on to `target`, which finds registers and stack as the caller left them.
 * R11 and the flags are the only state that no calling convention passes anything in. A counter
 * that calls the target, and so sees it return, would move the arguments that lie on the stack, and
 * an exception would find no unwind table for it.
 */
const COUNTER: Code = assemble([
  ['movabs', 'r11', word('calls')],
  ['lock', 'inc', mem('r11')],
  ['jmp', rip('target')],
  label('target'),
  quad(word('target')),
]);
export const COUNTER_SIZE: number = COUNTER.bytes.length;

/** @param calls the word that counts, of the key's record */
export const counter = (calls: Addr, target: Addr): Uint8Array => place(COUNTER, { calls, target });

/** Where a counter goes on to; null where the bytes are none. */
export function countedBy(bytes: Uint8Array): Addr | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const [calls, target] = COUNTER.words.map(({ offset }) =>
    offset + 8 <= bytes.length ? Number(view.getBigUint64(offset, true)) : 0,
  );
  invariant(calls !== undefined && target !== undefined, 'a counter has two words');
  const same = bytes.length === COUNTER_SIZE && bytes[0] === COUNTER.bytes[0];
  if (!same || !Number.isSafeInteger(calls) || !Number.isSafeInteger(target)) return null;
  return counter(calls, target).every((byte, i) => byte === bytes[i]) ? target : null;
}

/** Whether a counter may lie there: one begins at a slot of a page, and ends in the same page. */
export const mayCount = (at: Addr): boolean =>
  at % VENEER_SIZE === 0 && (at % PAGE) + COUNTER_SIZE <= PAGE;

/** Code as it lies in its slots. */
export function slotsOf(code: Uint8Array): Uint8Array {
  const slots = new Uint8Array(Math.ceil(code.length / VENEER_SIZE) * VENEER_SIZE).fill(INT3);
  slots.set(code);
  return slots;
}
