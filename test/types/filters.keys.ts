// Written by static-call types: write it again when the keys or their targets change.

/** For open<...>: each key with what may become its target. null empties it, 'ret0' makes it return 0. */
export type Filters = {
  readonly blend: 'blend_avx2' | 'blend_scalar' | 'ret0';
  readonly trace: 'trace_ring' | null;
};
