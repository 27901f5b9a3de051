// What a run of the benchmark says: tables of rows, each a median with its spread, and a ratio to
// another row of the same table wherever two things were measured side by side. It is the value of
// `bench --json` (static-call/bench@1) and all that the text, the page and the gate are made from.

/** Figures of one thing, from samples taken in rounds between those of the others. */
export interface Row {
  /** Never changes its meaning: the gate finds rows of two runs by it. */
  readonly id: string;
  readonly name: string;
  readonly unit: Unit;
  readonly median: number;
  readonly p99: number;
  readonly least: number;
  readonly samples: number;
  /**
   * Median over rounds of this row to `to`, and half the distance of its quartiles as a part of it.
   */
  readonly ratio: { readonly to: string; readonly value: number; readonly spread: number } | null;
  /** Ours, so that the gate holds it; the others are what it is held against. */
  readonly ours: boolean;
  /**
   * Function-call interrupts of the CPUs for one sample, from /proc/interrupts; null where it
   * cannot be read.
   */
  readonly interrupts?: number | null;
  /** Further figures of the same samples, by name. */
  readonly more?: Readonly<Record<string, number>>;
}

export type Unit = 'ns' | 'count' | 'per second';

export interface Missing {
  readonly what: string;
  readonly why: string;
}

export interface Table {
  readonly group: GroupName;
  readonly title: string;
  /** What was done, in a sentence or two. */
  readonly about: string;
  /**
   * How far two copies of the same thing are apart, as a part: below it nothing here means
   * anything.
   */
  readonly noise: number | null;
  readonly rows: readonly Row[];
  /** Why the gate holds no later run to these rows, where it does not. */
  readonly unheld?: string;
  readonly missing: readonly Missing[];
}

export const GROUPS = ['call', 'update', 'pause', 'trap', 'outside', 'objects', 'check'] as const;
export type GroupName = (typeof GROUPS)[number];

export interface Machine {
  readonly cpu: string;
  readonly cpus: number;
  readonly kernel: string;
  readonly node: string;
  readonly compiler: string;
  readonly hypervisor: boolean;
  /** Of one minute, when the run began: another program on a CPU is in every figure. */
  readonly load: number;
  /**
   * Nanoseconds that one word takes between the first two CPUs and back, before the run; null where
   * there is one CPU. Runs of before 2026-11-27 do not have it.
   */
  readonly distance?: number | null;
  readonly date: string;
}

/** The value of `bench --json`, schema static-call/bench@1. */
export interface BenchResult {
  readonly machine: Machine;
  readonly seconds: number;
  readonly tables: readonly Table[];
}

/** By value, for a sorted list of at least one. */
export function quantile(sorted: readonly number[], part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))]!;
}
export const ascending = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b);
export const median = (values: readonly number[]): number => quantile(ascending(values), 0.5);

/**
 * Median of a ratio taken round by round, and half the distance of its quartiles as a part of it.
 */
export function ratioOf(
  ours: readonly number[],
  theirs: readonly number[],
): { readonly value: number; readonly spread: number } {
  const ratios = ascending(ours.slice(0, theirs.length).map((value, i) => value / theirs[i]!));
  const value = quantile(ratios, 0.5);
  return { value, spread: (quantile(ratios, 0.75) - quantile(ratios, 0.25)) / 2 / value };
}

/**
 * Samples of several things by name, taken in rounds: the n-th samples of two names belong to one
 * round.
 */
export class Samples {
  readonly #byName = new Map<string, number[]>();

  add(name: string, value: number): void {
    let list = this.#byName.get(name);
    if (!list) this.#byName.set(name, (list = []));
    list.push(value);
  }
  of(name: string): readonly number[] {
    return this.#byName.get(name) ?? [];
  }
  /** Nanoseconds that something takes. */
  time(name: string, body: () => void): void {
    const from = performance.now();
    body();
    this.add(name, (performance.now() - from) * 1e6);
  }
  get names(): readonly string[] {
    return [...this.#byName.keys()];
  }

  /** null if it has no samples. */
  row(
    id: string,
    name: string,
    {
      to,
      ours = false,
      unit = 'ns',
      interrupts,
      more,
    }: {
      to?: string;
      ours?: boolean;
      unit?: Unit;
      interrupts?: number | null;
      more?: Record<string, number>;
    } = {},
  ): Row | null {
    const values = this.of(id);
    if (values.length === 0) return null;
    const sorted = ascending(values);
    const reference = to === undefined ? [] : this.of(to);
    return {
      id,
      name,
      unit,
      median: quantile(sorted, 0.5),
      p99: quantile(sorted, 0.99),
      least: sorted[0]!,
      samples: sorted.length,
      ratio:
        to === undefined || reference.length === 0 ? null : { to, ...ratioOf(values, reference) },
      ours,
      ...(interrupts === undefined ? {} : { interrupts }),
      ...(more === undefined ? {} : { more }),
    };
  }
}

/**
 * How far copies of the same thing are apart, as a part: median over pairs of a row's name and its
 * copy's.
 */
export function noiseOf(
  samples: Samples,
  pairs: readonly (readonly [of: string, copy: string])[],
): number | null {
  const apart = pairs.flatMap(([of, copy]) => {
    const ratio = samples.row(copy, '', { to: of })?.ratio;
    return ratio ? [Math.abs(ratio.value - 1) + ratio.spread] : [];
  });
  return apart.length === 0 ? null : median(apart);
}

export const present = <T>(values: readonly (T | null)[]): T[] =>
  values.filter((value): value is T => value !== null);
