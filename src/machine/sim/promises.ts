// The promises that the simulated machine judges a run by, and every way in which one can be
// broken. The floor that finds them broken owns their names: a name that no list knows would be
// dropped by the search, and the verdict would be "holds".

/** Whether the machine, once the promise is broken, still does what its program says. */
type After = 'ends' | 'goes on';

const PROMISES = {
  torn: 'ends',
  target: 'ends',
  'after-update': 'ends',
  'after-update-strict': 'goes on',
  stack: 'ends',
  flags: 'ends',
  slot: 'ends',
  lockdep: 'goes on',
  'shadow-stack': 'ends',
  'indirect-branch': 'goes on',
  'indirect-branch-strict': 'goes on',
  'stray-trap': 'ends',
  unwind: 'goes on',
} as const satisfies Record<string, After>;

export type PromiseName = keyof typeof PROMISES;

/**
 * Each place that finds a promise broken has a name of its own, which no other place raises. So a
 * test can tell whether some mutant reaches each of them (test/check/mutants.test.ts).
 */
export const BREACHES = {
  // what is fetched and executed
  'mixture-executed': 'torn',
  'mixture-undecodable': 'torn',
  'control-into-site': 'torn',
  'changed-bytes-executed': 'torn',

  // where a pass goes
  'target-uncalled': 'target',
  'target-second': 'target',
  'jump-untaken': 'target',
  'target-not-current': 'target',
  'control-to-nowhere': 'target',
  'exception-ud': 'target',
  'interrupt-ends-in-pass': 'target',
  'iret-without-event': 'target',
  'signal-ends-in-pass': 'target',
  'sigreturn-without-signal': 'target',
  'call-after-update': 'after-update',
  'entry-after-update': 'after-update-strict',

  // what the target and the caller find
  'rsp-at-entry': 'stack',
  'return-address': 'stack',
  'stack-above': 'stack',
  'rsp-after-return': 'stack',
  'rsp-off-stack': 'stack',
  'load-from-nowhere': 'stack',
  'store-to-nowhere': 'stack',
  'exception-gp': 'stack',
  'if-at-entry': 'flags',
  'register-at-entry': 'flags',
  'if-after-pass': 'flags',
  'callee-saved': 'flags',

  // what else a handler owes
  'stash-of-another': 'slot',
  'lockdep-disagrees': 'lockdep',
  'exception-cp': 'shadow-stack',
  'token-missing': 'shadow-stack',
  'branch-indirect': 'indirect-branch',
  'return-unmatched': 'indirect-branch-strict',
  'trap-unclaimed': 'stray-trap',
  'trap-blocked': 'stray-trap',
  'handler-gives-up': 'stray-trap',
  'chain-leaves-stack': 'unwind',
  'chain-without-rule': 'unwind',
  'chain-endless': 'unwind',
} as const satisfies Record<string, PromiseName>;

export type Breach = keyof typeof BREACHES;

/** A promise that is broken: where that was found, and what happened. */
export interface Bad {
  readonly breach: Breach;
  readonly property: PromiseName;
  readonly text: string;
}

export const bad = (breach: Breach, text: string): Bad => ({
  breach,
  property: BREACHES[breach],
  text,
});

/** Whether the path ends there, because the machine no longer does what its program says. */
export const endsPath = ({ property }: Bad): boolean => PROMISES[property] === 'ends';
