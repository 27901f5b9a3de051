// Where the engine's WebAssembly is: scripts/setup.mjs compiles it out of engine/. The page that
// runs in a browser has another file in its place (view/page/instead), because there the bytes are
// part of the page.

import { readFileSync } from 'node:fs';

export function engineBytes(): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(new URL('./engine.wasm', import.meta.url)));
}
