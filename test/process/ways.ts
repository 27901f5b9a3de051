/** Every protocol with every writer that goes with it. */
export const WAYS = [
  { protocol: 'int3', writer: 'procmem' },
  { protocol: 'int3', writer: 'alias' },
  { protocol: 'store', writer: 'alias' },
  { protocol: 'store', writer: 'procmem', assume: 'procmem-stores-are-atomic' },
] as const;

/** The default protocol, which goes a way of its own to each site. */
export const AUTO = [
  { protocol: 'auto', writer: 'procmem' },
  { protocol: 'auto', writer: 'alias' },
] as const;
