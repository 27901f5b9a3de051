// What the thread that serves updates from C is started with.

import type { WriterName } from '../machine/process/text.js';
import type { Protocol } from '../plan/protocol.js';

export interface ServerData {
  readonly protocol: Protocol;
  readonly writer: WriterName;
  readonly trustProcmem: boolean;
  /** Becomes 1 when the server sleeps on its bell. */
  readonly ready: Int32Array;
}
