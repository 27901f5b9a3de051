// The only file that knows iced-x86, a decoder in WebAssembly. The page that runs in a browser has
// another file in its place (view/page/instead), because there the module is part of the page.

import { createRequire } from 'node:module';
import { Fault } from '../base/fault.js';

export type Iced = typeof import('iced-x86');

/**
 * @throws Fault `not-supported` under --jitless; `no-memory`: the engine sets ten gigabytes of
 *   addresses aside for the module's memory, of which it uses few
 */
export function requireIced(): Iced {
  try {
    return createRequire(import.meta.url)('iced-x86');
  } catch (cause) {
    if (!('WebAssembly' in globalThis))
      throw new Fault('not-supported', 'the decoder is WebAssembly, which this node has not', {
        cause,
        hint: 'start node without --jitless',
      });
    if (!(cause instanceof RangeError)) throw cause;
    throw new Fault('no-memory', `the decoder was refused its memory (${cause.message})`, {
      cause,
      hint:
        'raise the limit of addresses (ulimit -v), or start node with ' +
        '--disable-wasm-trap-handler, which asks for less',
    });
  }
}
