// In place of check/search/wasm.ts, in the page: the engine is part of the thread that searches.

import { ENGINE } from 'virtual:engine';

export function engineBytes(): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(ENGINE), (character) => character.charCodeAt(0));
}
