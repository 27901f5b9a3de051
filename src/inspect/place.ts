// Where an instruction lies, as inspect prints it of calls and of branches alike.

import type { Addr } from '../base/addr.js';

export interface PlaceFacts {
  /** Null where the file has no section headers; `offset` then counts from its segment. */
  readonly section: string | null;
  readonly offset: number;
  /** As linked; null in a relocatable file. */
  readonly address: Addr | null;
  readonly function: string | null;
  readonly functionOffset: number;
}
