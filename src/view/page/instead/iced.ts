// In place of x86/iced.ts, in the page: the decoder is part of the page, and its WebAssembly is
// handed to it before the first question.

import { Fault } from '../../../base/fault.js';
import { instantiate, type Iced } from '../../../x86/wasm.js';

let iced: Iced | undefined;

/** @throws Fault `not-supported` in a browser without WebAssembly */
export function prepare(wasm: Uint8Array<ArrayBuffer>): void {
  if (!('WebAssembly' in globalThis))
    throw new Fault('not-supported', 'the decoder is WebAssembly, which this browser has not', {
      hint: 'allow WebAssembly for this page, or ask static-call inspect on the command line',
    });
  iced ??= instantiate(wasm);
}

export function requireIced(): Iced {
  if (iced === undefined) throw new Error('the decoder was not prepared');
  return iced;
}
