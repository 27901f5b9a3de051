// The promises that the simulated machine judges a run by, and every way in which one can be
// broken. The floor that finds them broken owns their names: a name that no list knows would be
// dropped by the search, and the verdict would be "holds".

export type PromiseName =
  | 'torn'
  | 'target'
  | 'after-update'
  | 'after-update-strict'
  | 'trap-after-return'
  | 'stack'
  | 'flags'
  | 'slot'
  | 'lockdep'
  | 'shadow-stack'
  | 'indirect-branch'
  | 'indirect-branch-strict'
  | 'stray-trap'
  | 'unwind';

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
  'target-of-another-key': 'target',
  'pass-abandoned': 'target',
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
  'trap-fetched-late': 'trap-after-return',

  // what the target and the caller find
  'rsp-at-entry': 'stack',
  'return-address': 'stack',
  'stack-above': 'stack',
  'rsp-after-return': 'stack',
  'red-zone': 'stack',
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
  'globals-of-another': 'slot',
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

/**
 * Promises whose breach leaves a CPU with state that no correct program leads to: a wrong stack, a
 * changed register, a pass that never came back. The machine goes on, and what it does then is
 * judged; but what the model does not know about it there says nothing about the program.
 */
const DAMAGES: ReadonlySet<PromiseName> = new Set(['target', 'stack', 'flags', 'slot']);

export const isDamage = (breach: Breach): boolean => DAMAGES.has(BREACHES[breach]);
export const damages = (property: string): property is PromiseName =>
  (DAMAGES as ReadonlySet<string>).has(property);
