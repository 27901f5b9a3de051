// A key of an open program: what callers ask of it, and what it then has. One object for all that
// an update needs of a key, and choices that keys share, because an update of ten thousand keys
// otherwise spends its time on cache misses.

import type { Addr } from '../base/addr.js';
import type { KeyDef } from '../keys/key.js';
import { KnownKey, type KnownKeys } from '../machine/process/known-key.js';
import type { EnlistedKey } from '../machine/process/register.js';
import { callWordOf, targetOf, type Target } from '../plan/target.js';
import type { Targets } from './target.js';

/** A target, and what a key that has it is said to have. */
export interface Choice extends Target {
  /** The call word of a key that has it. */
  readonly word: number;
  readonly name: string | null | boolean;
}

/**
 * The string that the JavaScript engine has for a name as a property. The names in an update are
 * the same strings, and are then compared by their addresses.
 */
const asProperty = (name: string): string => Object.keys({ [name]: null })[0] ?? name;

export class ProgramKey extends KnownKey {
  readonly def: KeyDef;
  /** The C side's key; null where only the trampoline is visible from here. */
  readonly key: Addr | null;
  /** null for a static key. */
  readonly trampoline: Addr | null;
  /** The next one in the order of the program: updates mostly have that order too. */
  next: ProgramKey | null = null;
  /** The last choice that went through; other code may have changed the key since. */
  now: Choice | null = null;
  /** The serial number of the last update of ours that changed the key. */
  last = 0;
  /** What was asked before: to find a target costs more than the rest of a small update. */
  #wanted: unknown = undefined;
  #choice: Choice | null = null;
  #wantedBefore: unknown = undefined;
  #choiceBefore: Choice | null = null;
  #choices: Map<unknown, Choice> | null = null;

  constructor(keys: KnownKeys, { def, record, key, trampoline }: EnlistedKey) {
    super(keys, asProperty(def.name), record);
    this.def = def;
    this.key = key;
    this.trampoline = trampoline;
  }

  /** What was chosen before; null where it was not asked for yet. */
  chosen(wanted: unknown): Choice | null {
    if (this.#wanted === wanted && this.#choice) return this.#choice;
    if (this.#wantedBefore === wanted && this.#choiceBefore) return this.#choiceBefore;
    return this.#choices?.get(wanted) ?? null;
  }

  choose(wanted: unknown, choice: Choice): void {
    if (!this.#choice) {
      this.#wanted = wanted;
      this.#choice = choice;
    } else if (!this.#choiceBefore) {
      this.#wantedBefore = wanted;
      this.#choiceBefore = choice;
    } else (this.#choices ??= new Map<unknown, Choice>()).set(wanted, choice);
  }
}

/** Shared choices; a program that makes its targets as it runs names ever new ones. */
const SHARED = 1024;

export class Choices {
  readonly #targets: Targets;
  readonly #shared = new Map<string, Choice>();

  constructor(targets: Targets) {
    this.#targets = targets;
  }

  /** What was asked for, found once. @throws Fault as Targets.resolve */
  choose(key: ProgramKey, wanted: unknown): Choice {
    const known = key.chosen(wanted);
    if (known) return known;
    const target = this.#targets.resolve(key.def, wanted);
    if (typeof wanted !== 'string' && typeof wanted !== 'boolean' && wanted !== null)
      return this.of(key, target);
    const choice = this.#share(target, wanted);
    key.choose(wanted, choice);
    return choice;
  }

  of(key: ProgramKey, target: Target): Choice {
    return this.at(key, callWordOf(target));
  }

  /**
   * What a key has by its call word. A linker folds functions with the same code into one, and
   * several names then have its address. The key is said to have the one that was asked for.
   */
  at({ now, def }: ProgramKey, word: number): Choice {
    if (now?.word === word) return now;
    const target = targetOf(word);
    return { ...target, word, name: this.#targets.name(def, target) };
  }

  #share({ kind, address }: Target, name: Choice['name']): Choice {
    const word = callWordOf({ kind, address });
    const what = `${word} ${name}`;
    const known = this.#shared.get(what);
    if (known) return known;
    if (this.#shared.size >= SHARED) this.#shared.clear();
    const choice: Choice = { kind, address, word, name };
    this.#shared.set(what, choice);
    return choice;
  }
}
