// The part of a state that all CPUs and the patcher share: the protocol's data, which targets are
// current and which replaced, and how many events of the bounded kinds are left.

import { ValueTable } from './intern.js';
import type { Write } from './space.js';

/** Sets of targets are bit masks by the target's number. */
export interface Env {
  /** The words of the shared data, in decimal. */
  readonly data: readonly string[];
  readonly current: number;
  readonly replaced: number;
  /** Published by an update that has not returned. */
  readonly underway: number;
  /** The updaters' own lock. */
  readonly locked: boolean;
  /** Infinity where nothing counts them. */
  readonly nmis: number;
  readonly mcs: number;
  readonly dbs: number;
}

/** Events of which a run has so many at most: bounds that the verdict names. */
export type Bounded = 'nmis' | 'mcs' | 'dbs';

export class Environments {
  readonly #table = new ValueTable<Env>();
  /** By environment, with one event of the kind fewer. */
  readonly #left: Readonly<Record<Bounded, number[]>> = { nmis: [], mcs: [], dbs: [] };
  /** The targets of which it is kept whether they are current or replaced. */
  readonly targets: number;

  constructor(targets: number) {
    this.targets = targets;
  }

  get count(): number {
    return this.#table.count;
  }
  intern(env: Env): number {
    const [current, replaced] = [env.current & this.targets, env.replaced & this.targets];
    return this.#table.intern({ ...env, current, replaced });
  }
  get(environment: number): Env {
    return this.#table.get(environment);
  }

  /** The environment with one event of a bounded kind fewer. */
  spent(environment: number, what: Bounded): number {
    return (this.#left[what][environment] ??= this.#oneFewer(this.get(environment), what));
  }
  #oneFewer(env: Env, what: Bounded): number {
    return this.intern({ ...env, [what]: env[what] - 1 });
  }
}

/** A word of the shared data as memory holds it, in decimal. */
export const textOf = (env: Env, word: number): string => env.data[word]!;

/** A word of the shared data as memory holds it. */
export const wordOf = (env: Env, word: number): bigint => BigInt(env.data[word]!);

export function written(env: Env, writes: readonly Write[]): Env {
  const data = [...env.data];
  for (const { word, value } of writes) data[word] = String(value);
  return { ...env, data };
}

/** A new target may be called. */
export const published = (env: Env, target: number): Env => ({
  ...env,
  current: env.current | (1 << target),
  replaced: env.replaced & ~(1 << target),
  underway: env.underway | (1 << target),
});

/**
 * The update that published a target returns. What another one has published stays current, and so
 * does what is not the key's own.
 */
export function returned(env: Env, target: number, own: number): Env {
  const underway = env.underway & ~(1 << target);
  const current = (1 << target) | underway | (env.current & ~own);
  return { ...env, current, replaced: (env.replaced | env.current) & ~current, underway };
}
