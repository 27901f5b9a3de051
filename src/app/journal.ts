// The updates of a program that are kept, and what takes each back.

import type { Choice, ProgramKey } from './program-key.js';
import type { Update } from './types.js';

/**
 * Updates that the journal keeps: a program that retargets a thousand times a second would not end
 * otherwise. Half of them go at once, because taking one from the front of an array costs a fifth
 * of an update.
 */
const JOURNAL = 1000;
/** The changes that they hold together: an update of ten thousand keys is as much as as many. */
const JOURNAL_CHANGES = 100_000;
/** Ten thousand objects in each update of a journal cost a quarter of such an update. */
const TOLD_AT_ONCE = 16;

/** Changes whose list is made when it is first asked for. */
interface Told {
  readonly count: number;
  told(): Update['changes'];
}

/** A list that is there already. */
export const listed = (changes: Update['changes']): Told => ({
  count: changes.length,
  told: () => changes,
});

/** The keys that an update changed, and from what to what. */
export class Changed implements Told {
  readonly keys: ProgramKey[];
  readonly before: Choice[];
  readonly after: Choice[];

  constructor(count: number) {
    this.keys = new Array<ProgramKey>(count);
    this.before = new Array<Choice>(count);
    this.after = new Array<Choice>(count);
  }

  get count(): number {
    return this.keys.length;
  }

  told(): Update['changes'] {
    return this.keys.map(({ name }, c) => ({
      key: name,
      from: this.before[c]!.name,
      to: this.after[c]!.name,
    }));
  }
}

/** An update that went through. */
export class Done implements Update {
  readonly by: Update['by'];
  declare readonly changes: Update['changes'];
  readonly inline: number;
  readonly trampoline: number;
  readonly traps: number;
  readonly ways: Update['ways'];
  readonly ns: number;
  readonly #changed: Told;
  readonly #back: (self: Update) => void;

  constructor(
    changed: Told,
    { inline, trampoline, traps, ways }: Pick<Update, 'inline' | 'trampoline' | 'traps' | 'ways'>,
    ns: number,
    by: Update['by'],
    back: (self: Update) => void,
  ) {
    this.#changed = changed;
    this.by = by;
    // An own property in either case, which printing and copying an update show.
    if (changed.count <= TOLD_AT_ONCE) this.changes = changed.told();
    else {
      let told: Update['changes'] | null = null;
      const get = (): Update['changes'] => (told ??= changed.told());
      Object.defineProperty(this, 'changes', { get, enumerable: true });
    }
    this.inline = inline;
    this.trampoline = trampoline;
    this.traps = traps;
    this.ways = ways;
    this.ns = ns;
    this.#back = back;
  }
  /** How many changes there are. */
  get count(): number {
    return this.#changed.count;
  }
  undo(): void {
    this.#back(this);
  }
  [Symbol.dispose](): void {
    this.undo();
  }
}

export class Journal {
  readonly #kept: Done[] = [];
  /** How many changes they hold. */
  #changes = 0;

  get updates(): readonly Update[] {
    return [...this.#kept];
  }

  keep(update: Done): void {
    this.#kept.push(update);
    this.#changes += update.count;
    if (this.#kept.length <= JOURNAL && this.#changes <= JOURNAL_CHANGES) return;
    // The last one is always kept.
    for (const { count } of this.#kept.splice(0, Math.floor(this.#kept.length / 2)))
      this.#changes -= count;
  }
}
