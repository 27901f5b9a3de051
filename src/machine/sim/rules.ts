// The rules of the machine that are neither a level of fetching nor a choice of the user's. Each is
// a field, so that a test can take the rule away: for each there is a program whose verdict then
// changes, which shows that the rule is in force. Nothing else takes one away, and verdicts are
// given under `RULES`.

/** What moves all marks of a CPU to the newest. */
export type Serialising =
  | 'instruction'
  | 'iret'
  | 'delivery'
  | 'interrupt'
  | 'sigreturn'
  | 'ipi'
  | 'barrier'
  | 'caller'
  | 'switch';
/** What empties a store buffer. `sync`: the patcher's own is empty before it reaches other CPUs. */
export type Draining = 'event' | 'fence' | 'locked' | 'serialise' | 'sync';

export interface Rules {
  /**
   * `instruction`: CPUID, SERIALIZE, MOV to CR; `iret`: the way out of an event (SDM volume 3, 9.3
   * for both). `delivery`: the kernel leaves for a signal handler by IRET. `caller`: the CPU that
   * synchronises the others serialises itself too (membarrier since Linux 5.11). `switch`: a task
   * that was on no CPU does when it is switched in. Not among them: `interrupt`, the way into an
   * event; `sigreturn`, which may leave by SYSRET.
   */
  readonly serialising: ReadonlySet<Serialising>;
  readonly draining: ReadonlySet<Draining>;
  /** Stores leave a buffer in the order in which they entered it (SDM volume 3, 9.2.2). */
  readonly storesInOrder: boolean;
  /**
   * An event accepted between the fetch of an instruction and its retirement throws the fetched
   * bytes away.
   */
  readonly discard: boolean;
  /**
   * STI with IF clear holds interrupts back until the next instruction has executed (SDM volume 2,
   * STI).
   */
  readonly stiShadow: boolean;
  /** Another event in between ends that. */
  readonly shadowEnds: boolean;
  /** POPF and IRET hold nothing back. */
  readonly shadowOfStiAlone: boolean;
  /** NMI is held back from its delivery to the next IRET (SDM volume 3, 6.7.1). */
  readonly nmiHeldBack: boolean;
  /** An IPI is accepted only with IF set. */
  readonly ipiMasked: boolean;
  /** Its handler serialises and then acknowledges. */
  readonly serialiseFirst: boolean;
  /** membarrier does not wait for a thread between its trap and the end of its handler. */
  readonly barrierPassesHandlers: boolean;
  /** SIGTRAP's handler is installed with SA_NODEFER. */
  readonly nodefer: boolean;
  /** F4: a byte that is int3 before or after, first of its instruction, may change under a CPU. */
  readonly int3Exempt: boolean;
  /** F4 judges the instruction's own bytes, not the chunks they lie in. */
  readonly strictByByte: boolean;
}

export const RULES: Rules = {
  serialising: new Set<Serialising>([
    'instruction',
    'iret',
    'delivery',
    'ipi',
    'barrier',
    'caller',
    'switch',
  ]),
  draining: new Set<Draining>(['event', 'fence', 'locked', 'serialise', 'sync']),
  storesInOrder: true,
  discard: true,
  stiShadow: true,
  shadowEnds: true,
  shadowOfStiAlone: true,
  nmiHeldBack: true,
  ipiMasked: true,
  serialiseFirst: true,
  barrierPassesHandlers: true,
  nodefer: true,
  int3Exempt: true,
  strictByByte: true,
};
