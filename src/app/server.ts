// What the thread that serves updates from C is started with.

import type { Addr } from '../base/addr.js';
import type { WriterName } from '../machine/process/text.js';
import type { Protocol } from '../plan/protocol.js';

export interface ServerData {
  readonly protocol: Protocol;
  readonly writer: WriterName;
  readonly trustProcmem: boolean;
  /** Of its ServerSlot. */
  readonly slot: Addr;
}
