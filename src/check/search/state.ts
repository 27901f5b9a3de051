// The layout of a state: [patcher, environment, cpu..., task...], each a small id that the model
// gave out. The tasks at the end wait for a CPU.

const PATCHER = 0;
const ENVIRONMENT = 1;
const CPUS = 2;

export interface Shape {
  readonly cpus: number;
  /** Tasks on no CPU. */
  readonly waiting: number;
  /** Equal CPUs are sorted, and equal tasks. */
  readonly sorted: boolean;
}

/** The same machine with every CPU and task under its own number. */
export const unsorted = (shape: Shape): Shape => ({ ...shape, sorted: false });

export const widthOf = ({ cpus, waiting }: Shape): number => CPUS + cpus + waiting;

export const patcherOf = (state: Int32Array): number => state[PATCHER]!;
export const environmentOf = (state: Int32Array): number => state[ENVIRONMENT]!;
/** What CPU `i` is and does; from the number of CPUs on, a waiting task. */
export const cpuOf = (state: Int32Array, i: number): number => state[CPUS + i]!;
/** How many CPUs and waiting tasks it has. */
export const runnersOf = (state: Int32Array): number => state.length - CPUS;

export const setPatcher = (state: Int32Array, id: number): void => {
  state[PATCHER] = id;
};
export const setEnvironment = (state: Int32Array, id: number): void => {
  state[ENVIRONMENT] = id;
};
export const setCpu = (state: Int32Array, i: number, id: number): void => {
  state[CPUS + i] = id;
};

/** A loop, because `TypedArray.set` costs more than these few words. */
export function copy(from: Int32Array | Uint32Array, to: Int32Array): void {
  for (let i = 0; i < to.length; i++) to[i] = from[i]!;
}

/** Brings equal CPUs, and equal tasks, into one order. */
export function normalise(state: Int32Array, { cpus, sorted }: Shape): void {
  if (!sorted) return;
  sort(state, CPUS, CPUS + cpus);
  sort(state, CPUS + cpus, state.length);
}

/** In place, between two indices. */
function sort(vector: Int32Array, from: number, to: number): void {
  for (let i = from + 1; i < to; i++) {
    const value = vector[i]!;
    let j = i - 1;
    for (; j >= from && vector[j]! > value; j--) vector[j + 1] = vector[j]!;
    vector[j + 1] = value;
  }
}
