// As `static-call types` writes it for the library of test/types.test.ts, which compares the two.
export type Filters = {
  blend: 'blend_avx2' | 'blend_scalar';
  trace: 'trace_ring' | null;
};
