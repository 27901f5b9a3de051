// All machine code that a process gets, as one page.

import { LINE, PAGE } from '../base/addr.js';
import { invariant } from '../base/invariant.js';
import type { Code } from '../asm/assembler.js';
import { borrowed } from './borrow.js';
import { forkHandlers } from './fork.js';
import { requestEntries } from './request.js';
import { scriptRoutines } from './script.js';
import { sigtrap } from './sigtrap.js';
import { storeLoops } from './stores.js';
import { surveys } from './survey.js';

export interface Piece {
  readonly name: 'handler' | 'request' | 'fork' | 'stores' | 'survey' | 'script' | 'borrow';
  readonly offset: number;
  readonly code: Code;
}

let assembled: readonly Piece[] | null = null;
/** Assembled once: it takes longer than an update. */
export const image = (): readonly Piece[] => (assembled ??= assembleAll());

/** Each piece on a cache line of its own; together they fill a page at most. */
function assembleAll(): readonly Piece[] {
  let offset = 0;
  return (
    [
      ['handler', sigtrap()],
      ['request', requestEntries()],
      ['fork', forkHandlers()],
      ['stores', storeLoops()],
      ['survey', surveys()],
      ['script', scriptRoutines()],
      ['borrow', borrowed()],
    ] as const
  ).map(([name, code]) => {
    const at = offset;
    offset = Math.ceil((offset + code.bytes.length) / LINE) * LINE;
    invariant(offset <= PAGE, 'the code of the runtime fits a page');
    return { name, offset: at, code };
  });
}
