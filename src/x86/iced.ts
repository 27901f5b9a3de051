// The only file that knows where iced-x86, a decoder in WebAssembly, lies. The page that runs in a
// browser has another file in its place (view/page/instead), because there the module is part of
// the page.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Fault } from '../base/fault.js';
import { instantiate, type Iced } from './wasm.js';

let iced: Iced | undefined;

/**
 * @throws Fault `not-supported` under --jitless; `no-memory`: the engine sets ten gigabytes of
 *   addresses aside for the module's memory, of which it uses few
 */
export function requireIced(): Iced {
  return (iced ??= load());
}

function load(): Iced {
  const path = createRequire(import.meta.url).resolve('iced-x86/iced_x86_bg.wasm');
  const wasm = new Uint8Array(readFileSync(path));
  try {
    return instantiate(wasm);
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
