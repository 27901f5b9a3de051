// An update of one key that was made before and is asked for again: a hook that goes on and off. Its
// survey and its steps are one script that stays written down, so that such an update costs one call
// into machine code and next to no JavaScript before it. Nothing that protects is left out. The
// script begins with what must be so: the same descriptor, text as the columns say, as many sites
// that change, by the same ways. Where it is not so, nothing was begun and the update is drawn anew.

import type { Batch, Edits, KeyChanges } from '../../plan/batch.js';
import type { Protocol } from '../../plan/protocol.js';
import type { Target } from '../../plan/target.js';
import { RECORD } from '../../trap/registry.js';
import type { Machine } from '../machine.js';
import type { KeyRow, KnownKey } from './known-key.js';
import type { Script } from './script.js';
import type { Forms } from './survey.js';

/** What was asked for, and what the key had. */
export interface Asked {
  readonly to: Target;
  /** The call word. */
  readonly from: number;
  /** What the first site had: a hook that is off keeps the displacement of what it called last. */
  readonly standing: number;
  readonly protocol: Protocol;
  readonly require: 'inline' | undefined;
}

/** How it was done. */
export interface Written {
  readonly row: KeyRow;
  /** The steps that it needs. */
  readonly needed: Protocol;
  readonly edits: Edits;
  readonly previous: KeyChanges;
  readonly batch: Batch;
  readonly ways: number;
  readonly script: Script;
  readonly machine: Machine;
  /** Where the survey's words lie in the script. */
  readonly survey: number;
  /** The script names these by address alone, so they are kept from the collector. */
  readonly forms: readonly Forms[];
  /** The descriptor that it writes through; null under `alias`. */
  readonly file: number | null;
}

/** Updates of one key that are remembered: from four targets to each of these, say. */
const REMEMBERED = 16;
/** Scripts of one engine, of five kilobytes each. */
const SCRIPTS = 256;

class Repeat<W extends Written> {
  readonly asked: Asked;
  /** null while it was made once. */
  written: W | null = null;
  constructor(asked: Asked) {
    this.asked = asked;
  }
}

/** The updates of one engine's keys that are remembered. */
export class Repeats<W extends Written> {
  #known = new WeakMap<KnownKey, Repeat<W>[]>();
  #scripts = 0;

  /** How it was done; null where it was not asked for twice, or not from where the key is now. */
  find(key: KnownKey, to: Target, protocol: Protocol, require?: 'inline'): W | null {
    const repeats = this.#known.get(key);
    if (!repeats) return null;
    const from = key.held(RECORD.call);
    const standing = key.first?.standing;
    for (const { asked, written } of repeats)
      if (
        written !== null &&
        asked.to === to &&
        asked.from === from &&
        asked.standing === standing &&
        asked.protocol === protocol &&
        asked.require === require
      )
        return isCurrent(key, written) ? written : null;
    return null;
  }

  /**
   * An update went through.
   * @param write how it was done; asked for at the second time, because most updates come once
   */
  remember(key: KnownKey, asked: Asked, write: () => W | null): void {
    let repeats = this.#known.get(key);
    if (!repeats) this.#known.set(key, (repeats = []));
    const known = repeats.findIndex((r) => isSame(r.asked, asked));
    if (known < 0) {
      repeats.unshift(new Repeat(asked));
      if (repeats.length > REMEMBERED) repeats.pop();
      return;
    }
    if (++this.#scripts > SCRIPTS) {
      this.#known = new WeakMap();
      this.#scripts = 0;
      return;
    }
    repeats[known]!.written = write();
  }
}

const isSame = (a: Asked, b: Asked): boolean =>
  a.to === b.to &&
  a.from === b.from &&
  a.standing === b.standing &&
  a.protocol === b.protocol &&
  a.require === b.require;

/** Whether its words and its sites are those that the script was written down for. */
function isCurrent(key: KnownKey, { row, previous }: Written): boolean {
  return (
    key.first === row &&
    previous.tail[0] === key.held(RECORD.tail) &&
    previous.jcc[0] === key.held(RECORD.jcc) &&
    previous.slot[0] === key.held(RECORD.key) &&
    previous.func[0] === key.func
  );
}
