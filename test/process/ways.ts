/** Every protocol with every writer that goes with it. */
export const WAYS = [
  { protocol: 'int3', writer: 'procmem' },
  { protocol: 'int3', writer: 'alias' },
  { protocol: 'store', writer: 'alias' },
  { protocol: 'store', writer: 'procmem', assume: 'procmem-stores-are-atomic' },
] as const;
