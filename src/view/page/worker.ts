// The part of a worker's global scope that ours use. (The library of types for workers does not go
// beside the one for pages.)

export interface Scope<IN, OUT> {
  onmessage: ((event: { readonly data: IN }) => void) | null;
  postMessage(message: OUT): void;
}

export const scopeOf = <IN, OUT>(): Scope<IN, OUT> => globalThis as unknown as Scope<IN, OUT>;
