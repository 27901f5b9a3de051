// What a configuration chooses from, by name: targets, shapes of sites, levels of fetch. The types
// of the checker as a library reach this file and none of the machine behind it
// (test/declarations.ts).

import { FAMILIES } from '../../asm/table.js';
import { UNITS } from '../../base/addr.js';

export type Environment = 'kernel' | 'user';

/**
 * What a site may be sent to: a function by name, nothing, or "return 0". Three functions stand for
 * any number of them (docs/proof.md); the fourth is there to show it.
 */
export const TARGETS = ['A', 'B', 'C', 'null', 'ret0', 'D'] as const;
export type TargetName = (typeof TARGETS)[number];

/** How many there are of something; `any` where no search counts them. */
export type Bound = number | 'any';

export const FETCH_LEVELS = ['F0', 'F1', 'F1d', 'F1a', 'F2', 'F3', 'F4'] as const;
export type FetchLevel = (typeof FETCH_LEVELS)[number];

/** The unit that one access of the fetcher takes whole, in bytes, aligned to itself. */
export const CHUNKS = { byte: 1, ...UNITS } as const;
export type Chunk = keyof typeof CHUNKS;

/**
 * The widest store that reaches memory at one instant; a wider one is split at its multiples. By 32
 * bytes AMD CPUs of family 25 do (docs/fetch32.md).
 */
export const STORES = CHUNKS;
export type StoreWidth = keyof typeof STORES;

const CALL = { kind: 'call', length: 5, condition: 0 } as const;
const JMP = { kind: 'jmp', length: 5, condition: 0 } as const;
/** What a linker makes of a call and of a jump through a GOT slot (x86/forms.ts). */
const CALL6 = { ...CALL, length: 6 } as const;
const JMP6 = { ...JMP, length: 6 } as const;
/**
 * A conditional tail call, `jl`: of the sixteen conditions it reads the most flags, and its number
 * needs all four bits.
 */
const JCC = { kind: 'jcc', length: 6, condition: FAMILIES.cc.l } as const;

/** Branches of a static key. Taken, they go to A; else what follows runs. */
const IF = { kind: 'if', length: 5, condition: 0 } as const;
const UNLESS = { ...IF, kind: 'unless' } as const;

/** Those of the targets that are functions. */
export const FUNCTIONS: readonly TargetName[] = ['A', 'B', 'C', 'D'];
/** As many functions as there need be (docs/proof.md). */
export const ENOUGH = ['A', 'B', 'C'] as const;
const NULL = ['null', 'A', 'null'] as const;
/** A hook that is switched off and on again. */
const HOOK = ['A', 'null', 'A'] as const;
const RET0 = ['ret0', 'A', 'ret0'] as const;

/** By the words of `check --site`. */
export const SHAPES = {
  call: { ...CALL, sequence: ENOUGH },
  jmp: { ...JMP, sequence: ENOUGH },
  null: { ...CALL, sequence: NULL },
  ret0: { ...CALL, sequence: RET0 },
  'jmp-null': { ...JMP, sequence: NULL },
  'jmp-ret0': { ...JMP, sequence: RET0 },
  hook: { ...CALL, sequence: HOOK },
  'jmp-hook': { ...JMP, sequence: HOOK },
  jcc: { ...JCC, sequence: ENOUGH },
  'jcc-null': { ...JCC, sequence: NULL },
  'jcc-ret0': { ...JCC, sequence: RET0 },
  call6: { ...CALL6, sequence: ENOUGH },
  'call6-null': { ...CALL6, sequence: NULL },
  'call6-ret0': { ...CALL6, sequence: RET0 },
  'call6-hook': { ...CALL6, sequence: HOOK },
  jmp6: { ...JMP6, sequence: ENOUGH },
  'jmp6-null': { ...JMP6, sequence: NULL },
  'jmp6-ret0': { ...JMP6, sequence: RET0 },
  'jmp6-hook': { ...JMP6, sequence: HOOK },
  if: { ...IF, sequence: NULL },
  unless: { ...UNLESS, sequence: NULL },
} as const;
export type SiteShape = keyof typeof SHAPES;
export const SITE_SHAPES = Object.keys(SHAPES) as readonly SiteShape[];
