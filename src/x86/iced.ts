// Where the decoder's WebAssembly is: scripts/setup.mjs makes it out of the package iced-x86. The
// page that runs in a browser has another file in its place (view/page/instead), because there the
// module is part of the page.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
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
  const wasm = decoderBytes();
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

/** @throws Fault `no-such-file` in a checkout whose decoder was not made */
function decoderBytes(): Uint8Array<ArrayBuffer> {
  // By the name of its folder, because cli/beside.cjs, a bundle, lies in another one.
  const path = fileURLToPath(new URL('../x86/decoder.wasm', import.meta.url));
  try {
    return new Uint8Array(readFileSync(path));
  } catch (cause) {
    throw new Fault('no-such-file', 'the decoder was not made', {
      at: path,
      hint: 'run npm start in the checkout once, or install the package again',
      cause,
    });
  }
}
