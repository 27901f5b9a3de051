// Where the engine's WebAssembly is: scripts/setup.mjs compiles it out of engine/. The page that
// runs in a browser has another file in its place (view/page/instead), because there the bytes are
// part of the page.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Fault } from '../../base/fault.js';

/** For one thread, and for several that search together. */
export type Build = 'engine' | 'engine-shared';

/**
 * The search in TypeScript would answer too, but several times slower: a package without its engine
 * is damaged, and is not to pass unnoticed.
 * @throws Fault `no-such-file` in a checkout whose engine was not built
 */
export function engineBytes(build: Build): Uint8Array<ArrayBuffer> {
  const path = fileURLToPath(new URL(`./${build}.wasm`, import.meta.url));
  try {
    return new Uint8Array(readFileSync(path));
  } catch (cause) {
    throw new Fault('no-such-file', "the checker's engine was not built", {
      at: path,
      hint: 'run npm start in the checkout once, or install the package again',
      cause,
    });
  }
}
