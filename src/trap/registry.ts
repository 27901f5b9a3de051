// Layout of the data that the SIGTRAP handler reads, the same in a process and on the simulator. It
// is permanent: nothing in it is freed, moved or reused, because a thread may be anywhere in the
// handler while any number of updates come and go.
//
//   data ──► tables ──► table {next, first, end, count, slots...} ──► table ──► 0
//                       slot {site, word | length | condition} ──► record {call, tail, jcc, traps}
//
// A slot says where the site is and which word of which key's record describes it. The word is
// read once, so form and target always belong together; an update of a key with a hundred
// thousand sites changes three words, not a hundred thousand slots.

import type { Addr } from '../base/addr.js';

/** Offsets in the handler's data block. */
export const DATA = {
  /** Head of the list of tables; 0 ends it. New tables are prepended by one 8-byte store. */
  tables: 0,
  /** The handler that was installed before ours: 0 SIG_DFL, 1 SIG_IGN, else an address. */
  previous: 8,
  /**
   * Traps at addresses without a site whose byte was no longer int3: sent back to run the
   * instruction.
   */
  staleTraps: 16,
  /** Traps that were not ours and went to the previous handler. */
  foreign: 24,
  /** What follows is the runtime's own; the handler does not read it. */
  magic: 64,
  version: 72,
  /** Thread that holds the update lock, or 0; and how many wait for it. */
  lock: 80,
  waiters: 84,
  /** Permanent memory not yet given out. */
  free: 88,
  freeEnd: 96,
  /** Texts that were mapped a second time, so that they can be written: list of REGION. */
  regions: 104,
  /** 1 once the handler was installed: a handler that is found in its place came later. */
  installed: 112,
  /**
   * How many threads serve updates from C, a count of the requests so far, and the list of REQUEST.
   * 32 bits, 32, 64.
   */
  servers: 120,
  doorbell: 124,
  requests: 128,
  /** 1 between fork's first handler and its last, if that took the lock. */
  forking: 136,
  /** Head of the list of records. */
  records: 144,
  /**
   * The process's descriptor of /proc/self/mem, plus 1 so that 0 is none, and how many open
   * programs write through it. A child of fork closes it before anything else of it runs.
   */
  procmem: 152,
  procmemUsers: 160,
  /** Head of the list of SERVER. */
  serving: 168,
  /**
   * 1 when a thread ended while it held the lock: texts may differ from what the columns say of
   * them.
   */
  stale: 176,
  /** 1 once the handlers around fork are registered. */
  forks: 184,
  /** The pthread key, plus 1, whose destructor is the entry `gone`; 0 before there is one. */
  key: 192,
  /** 1 when the runtime is complete. */
  ready: 200,
  /** The thread of Node's that waits to start the inspector, once it was recognised; else 0. */
  inspector: 208,
  /** The last updates that C made (machine/process/c-updates.ts); 0 before the first. */
  journal: 216,
  /**
   * Grows with every change of targets, records or tables, from within or from another process. An
   * update that was drawn from outside (machine/remote) expects what it read: it is drawn again
   * where another came first.
   */
  epoch: 224,
  /** 1 after an update that ended with a fault, until the next synchronisation. */
  unsynced: 232,
  /**
   * A page that every copy of the process's memory has zeroed (MADV_WIPEONFORK); 0 before there is
   * one. Its first word is the mark of the descriptor above: the position of that file.
   */
  alone: 240,
  size: 248,
} as const;

/** A text whose pages are shared with a writable mapping elsewhere. */
export const REGION = {
  next: 0,
  start: 8,
  end: 16,
  alias: 24,
  /** The text as it was when a fork began, for the child; 0 at all other times. */
  copy: 32,
  size: 40,
} as const;

/** An update that C asked for: state and result are 32 bits each. */
export const REQUEST = { next: 0, key: 8, func: 16, state: 24, result: 28, size: 32 } as const;
/** `abandoned`: its caller has gone, and the server that comes upon it frees it. */
export const STATE = { free: 0, waiting: 1, answered: 2, abandoned: 3 } as const;
/** The requests of a process lie in the data's page. */
export const REQUESTS = { first: 256, end: 4096 } as const;

/**
 * A thread that serves updates from C for the environment that started it. Slots are used again and
 * never freed.
 */
export const SERVER = {
  next: 0,
  /**
   * The thread of the environment, and the one that serves; 0 where there is none. 32 bits each.
   */
  owner: 8,
  thread: 12,
  /** How many programs of the environment need it; negative: it ends or is gone. */
  users: 16,
  /** STARTING, READY, or the negative errno of a start that failed. */
  state: 20,
  /** Requests that were taken and not answered yet, the oldest first. */
  taken: 24,
  /** Of the oldest: the key and the function, and what C is answered. */
  key: 32,
  func: 40,
  result: 48,
  size: 56,
} as const;

export const MAGIC = 0x6c6c_6163_7461_7473n; // "statcall", little-endian
/**
 * Changes with any layout in this file, and with the code that lies beside the handler: two
 * runtimes of one process share both, or the second is refused.
 */
export const VERSION = 10n;

export const TABLE = { next: 0, first: 8, end: 16, count: 24, slots: 32 } as const;
export const SLOT = { site: 0, word: 8, size: 16 } as const;
/**
 * The handler's half of a record has a cache line of its own, so that the trap counter of one key
 * does not slow another.
 */
export const RECORD = {
  /** Of a static key: for the branches that jump if it is on, and in `tail` for the others. */
  call: 0,
  tail: 8,
  jcc: 16,
  traps: 24,
  /** Calls that went through the key's counter (native/veneer.ts); the handler does not read it. */
  calls: 32,
  /**
   * What follows is the runtime's own: list of GROUP, the C side's key, how many programs are open
   * on it.
   */
  groups: 64,
  key: 72,
  users: 80,
  /** The call word of what the file's trampoline does, and what the functions return (RETURNS). */
  initial: 88,
  returns: 96,
  next: 104,
  size: 128,
} as const;

/** Return classes as a record holds them. */
export const RETURNS = ['unknown', 'void', 'integer', 'other'] as const;

/**
 * The sites of one key in one object, with the text they lie in; SiteColumns (plan/draw.ts)
 * follows.
 */
export const GROUP = {
  next: 0,
  count: 8,
  trampoline: 16,
  start: 24,
  end: 32,
  columns: 40,
} as const;

/** What a word tells the handler to do; bits 48 to 55. */
export const EMULATE = {
  none: 0,
  call: 1,
  jmp: 2,
  nop: 3,
  ret: 4,
  ret0: 5,
  jcc: 6,
  /** A branch: as its displacement says, which stands behind the trap. */
  taken: 7,
  passed: 8,
} as const;
export type Emulation = keyof typeof EMULATE;

const EMULATIONS = Object.keys(EMULATE) as Emulation[];

/**
 * Form and target in one word, exact in a double. User addresses have 47 bits, so 48 are enough.
 */
export function emulationWord(form: Emulation, target: Addr = 0): number {
  return EMULATE[form] * 2 ** 48 + (target < 0 ? target + 2 ** 48 : target);
}
export function readWord(word: number): { form: Emulation; target: Addr } {
  const form = Math.floor(word / 2 ** 48);
  return { form: EMULATIONS[form] ?? 'none', target: word - form * 2 ** 48 };
}

/**
 * Second word of a slot: the address of the site's word, its length (bits 48 to 51), its condition
 * (52 to 55).
 */
export function slotWord(word: Addr, length: number, condition: number): bigint {
  return BigInt(word) | (BigInt(length) << 48n) | (BigInt(condition) << 52n);
}

/**
 * Slots as columns, ascending by site: `shape` is the length with the condition above it, four bits
 * each.
 */
export interface SlotColumns {
  readonly site: Float64Array;
  readonly word: Float64Array;
  readonly shape: Uint8Array;
}

/**
 * One table, ready to be placed anywhere. Halves of words are written as numbers: there may be a
 * million.
 */
export function encodeColumns({ site, word, shape }: SlotColumns, next: Addr): BigUint64Array {
  const count = site.length;
  const words = new BigUint64Array((TABLE.slots + count * SLOT.size) / 8);
  words[TABLE.next / 8] = BigInt(next);
  words[TABLE.first / 8] = BigInt(site[0] ?? 0);
  words[TABLE.end / 8] = BigInt(count > 0 ? site[count - 1]! + 1 : 0);
  words[TABLE.count / 8] = BigInt(count);
  const halves = new Uint32Array(words.buffer, TABLE.slots);
  for (let i = 0; i < count; i++) {
    halves[4 * i] = site[i]!;
    halves[4 * i + 1] = site[i]! / 2 ** 32;
    halves[4 * i + 2] = word[i]!;
    halves[4 * i + 3] = word[i]! / 2 ** 32 + shape[i]! * 0x10000;
  }
  return words;
}

export interface SlotInput {
  readonly site: Addr;
  readonly word: Addr;
  readonly length: number;
  readonly condition: number;
}

/** As encodeColumns, for a handful of slots. */
export function encodeTable(slots: readonly SlotInput[], next: Addr): BigUint64Array {
  const column = (of: (slot: SlotInput) => number): Float64Array => Float64Array.from(slots, of);
  return encodeColumns(
    {
      site: column((s) => s.site),
      word: column((s) => s.word),
      shape: Uint8Array.from(slots, (s) => s.length | (s.condition << 4)),
    },
    next,
  );
}
