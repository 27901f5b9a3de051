// What static calls are measured against. `pointer` is the call through the key's pointer that they
// replace: one data store, and an indirect branch at every call. `trampoline` is the out-of-line
// static call: every site calls a permanent trampoline, and its aligned jump alone is patched.

import type { Protocol } from '../plan/protocol.js';
import { store } from '../plan/protocols/store.js';

export const pointer: Protocol = {
  name: 'pointer',
  about: 'the indirect call that static calls replace: one store of the pointer',
  accepts: { bytes: 'whole', within: null },
  handler: null,
  steps: [{ do: 'publish', why: 'the pointer is the whole of it' }],
};

export const trampoline: Protocol = {
  ...store,
  name: 'trampoline',
  about: 'the out-of-line static call: only the aligned jump of the trampoline is patched',
};
