// An update that was made before and is asked for again: a hook that goes on and off, or a few keys
// that go together. Its surveys and its steps are one script that stays written down, so that such
// an update costs one call into machine code and next to no JavaScript before it. Nothing that
// protects is left out. The script begins with what must be so: the same descriptor, text as the
// columns say, as many sites that change, by the same ways. Where it is not so, nothing was begun
// and the update is drawn anew.

import type { Edits, KeyChanges } from '../../plan/batch.js';
import type { Protocol } from '../../plan/protocol.js';
import type { Target } from '../../plan/target.js';
import { RECORD } from '../../trap/registry.js';
import type { Machine } from '../machine.js';
import type { KeyRow, KnownKey } from './known-key.js';
import type { Script } from './script.js';
import type { Forms } from './survey.js';

/** A key, where it was sent, and what it had. */
export interface Part {
  readonly key: KnownKey;
  readonly to: Target;
  /** The call word. */
  readonly from: number;
  /** What the first site had: a hook that is off keeps the displacement of what it called last. */
  readonly standing: number;
}

/** What was asked for. */
export interface Asked {
  readonly parts: readonly [Part, ...Part[]];
  readonly protocol: Protocol;
  readonly require: 'inline' | undefined;
}

/** How it was done. */
export interface Written {
  /** The sites of each key. */
  readonly rows: readonly KeyRow[];
  /** The steps that it needs. */
  readonly needed: Protocol;
  /** A batch for each row. */
  readonly edits: Edits;
  readonly previous: KeyChanges;
  /** Of each batch. */
  readonly ways: readonly number[];
  readonly script: Script;
  readonly machine: Machine;
  /** Where the words of each survey lie in the script. */
  readonly surveys: readonly number[];
  /** The script names these by address alone, so they are kept from the collector. */
  readonly forms: readonly Forms[];
  /** The descriptor that it writes through; null under `alias`. */
  readonly file: number | null;
}

/** Updates that begin with one key and are remembered: from four targets to each of these, say. */
const REMEMBERED = 16;
/** Keys in the scripts of one engine: each makes its script five kilobytes longer. */
const IN_SCRIPTS = 256;

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
  /** By the first key. */
  #known = new WeakMap<KnownKey, Repeat<W>[]>();
  #inScripts = 0;

  /** How it was done; null where it was not asked for twice, or not from where the keys are now. */
  find(
    keys: ArrayLike<KnownKey>,
    targets: ArrayLike<unknown>,
    protocol: Protocol,
    require?: 'inline',
  ): W | null {
    const first = keys[0];
    const repeats = first && this.#known.get(first);
    if (!repeats) return null;
    for (const { asked, written } of repeats)
      if (
        written !== null &&
        asked.protocol === protocol &&
        asked.require === require &&
        isFor(asked, keys, targets)
      )
        return isCurrent(asked, written) ? written : null;
    return null;
  }

  /**
   * An update went through.
   * @param write how it was done; asked for at the second time, because most updates come once
   */
  remember(asked: Asked, write: () => W | null): void {
    const [{ key }] = asked.parts;
    let repeats = this.#known.get(key);
    if (!repeats) this.#known.set(key, (repeats = []));
    const known = repeats.find((r) => isSame(r.asked, asked));
    if (!known) {
      repeats.unshift(new Repeat(asked));
      if (repeats.length > REMEMBERED) repeats.pop();
      return;
    }
    this.#inScripts += asked.parts.length;
    if (this.#inScripts > IN_SCRIPTS) {
      this.#known = new WeakMap();
      this.#inScripts = 0;
      return;
    }
    known.written = write();
  }
}

/** Whether these keys are to go where they went, from where they were. */
function isFor({ parts }: Asked, keys: ArrayLike<KnownKey>, targets: ArrayLike<unknown>): boolean {
  if (parts.length !== keys.length) return false;
  for (const [k, { key, to, from, standing }] of parts.entries())
    if (
      key !== keys[k] ||
      to !== targets[k] ||
      from !== key.held(RECORD.call) ||
      standing !== key.first?.standing
    )
      return false;
  return true;
}

const isSame = (a: Asked, b: Asked): boolean =>
  a.protocol === b.protocol &&
  a.require === b.require &&
  a.parts.length === b.parts.length &&
  a.parts.every((part, k) => isSamePart(part, b.parts[k]!));

const isSamePart = (a: Part, b: Part): boolean =>
  a.key === b.key && a.to === b.to && a.from === b.from && a.standing === b.standing;

/** Whether their words and their sites are those that the script was written down for. */
function isCurrent({ parts }: Asked, { rows, previous }: Written): boolean {
  for (const [k, { key }] of parts.entries())
    if (
      key.first !== rows[k] ||
      previous.tail[k] !== key.held(RECORD.tail) ||
      previous.jcc[k] !== key.held(RECORD.jcc) ||
      previous.slot[k] !== key.held(RECORD.key) ||
      previous.func[k] !== key.func
    )
      return false;
  return true;
}
