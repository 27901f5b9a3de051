// What is checked: each protocol with its trap handler, in the environment it is made for. A
// variant is the same idea with one thing changed, mostly the thing that somebody on the list said
// about it.

import { Fault } from '../base/fault.js';
import { didYouMean } from '../base/nearest.js';
import { pointer, trampoline } from './baselines.js';
import { int3Abort, int3AbortSynced, int3AbortWaiting } from './int3-abort.js';
import { int3Kernel, int3KernelCounted, int3KernelPermanent } from './int3-kernel.js';
import { retireCounted, retirePlain, retirePublished, retireVersioned } from './int3-retire.js';
import { int3 } from '../plan/protocols/int3.js';
import { naive } from '../plan/protocols/naive.js';
import { stopMachinePlain, stopMachineSerialising } from './stop-machine.js';
import { store, storeInLine } from '../plan/protocols/store.js';
import type { Protocol } from '../plan/protocol.js';
import type { Environment, FixtureHandler, FixtureOptions } from '../machine/sim/fixture.js';
import { abort } from './int3-abort-handler.js';
import type { BreakpointHandler } from './breakpoint.js';
import { gap } from './int3-gap.js';
import type { Entry } from '../trap/kernel.js';
import { levels } from './int3-levels.js';
import { percpuNmi, type PercpuNmiOptions } from './int3-percpu-nmi.js';
import { percpu } from './int3-percpu.js';
import { retire, type Retry } from './int3-retire-handler.js';
import { shift } from './int3-shift.js';
import { SIGTRAP_SHADOW_PROGRAM } from './sigtrap-shadow.js';
import { SIGTRAP_PROGRAM } from '../native/sigtrap.js';
import { skip } from './int3-skip.js';
import { stub } from './int3-stub.js';

export interface Proposal {
  readonly name: string;
  /** Empty for the protocol as proposed. */
  readonly variant: string;
  readonly environment: Environment;
  readonly protocol: Protocol;
  readonly handler: ((entry: Entry) => FixtureHandler) | null;
  readonly via: FixtureOptions['via'];
  /**
   * Offset of the site in its line, where the protocol only takes some; null where the
   * configuration says.
   */
  readonly offset: number | null;
  /** Traps are claimed only between publish and retire. */
  readonly tornDown: boolean;
  readonly order: FixtureOptions['order'];
  /** Sites in the batch. */
  readonly functions: 1 | 2;
  readonly lostTail: boolean;
  /** The task spins with IF clear on the updater's lock. */
  readonly spin: boolean;
  /** The program under test has an int3 of its own. */
  readonly foreign: boolean;
  /**
   * Updates one after the other, or by two updaters at the same time, with or without a lock
   * between them.
   */
  readonly updaters: 'one' | 'locked' | 'unlocked';
  /** Its handler writes what other CPUs read: one CPU does not stand for all (matrix.ts). */
  readonly coupled: boolean;
  /** Only worth a row beside its fellows in the full matrix. */
  readonly full: boolean;
}

const kernelHandler =
  (make: (entry: Entry) => BreakpointHandler, counts: FixtureHandler['counts'] = null) =>
  (entry: Entry): FixtureHandler => {
    return { ...make(entry), tables: 'poke', counts };
  };
const userHandler =
  (
    program: FixtureHandler['program'],
    tables: FixtureHandler['tables'],
    words: FixtureHandler['words'] = {},
  ) =>
  (): FixtureHandler => ({
    program,
    resume: null,
    tables,
    stash: [],
    globals: [],
    words,
    counts: null,
  });

const plain = {
  handler: null,
  via: 'site',
  offset: null,
  tornDown: false,
  order: 'sorted',
  functions: 1,
  lostTail: false,
  spin: false,
  foreign: false,
  updaters: 'one',
  coupled: false,
  full: false,
} as const;

/** A row for the kernel, or for a process. */
const inKernel = (
  name: string,
  variant: string,
  protocol: Protocol,
  rest: Partial<Proposal> = {},
): Proposal => ({ ...plain, name, variant, environment: 'kernel', protocol, ...rest });
const inUser = (
  name: string,
  variant: string,
  protocol: Protocol,
  rest: Partial<Proposal> = {},
): Proposal => ({ ...plain, name, variant, environment: 'user', protocol, ...rest });
/** Trap byte and emulation in the kernel, with a table for each update. */
const poke = (
  name: string,
  variant: string,
  make: (entry: Entry) => BreakpointHandler,
  rest: Partial<Proposal> & { counts?: FixtureHandler['counts'] } = {},
): Proposal => {
  const { counts = null, ...row } = rest;
  return inKernel(
    name,
    variant,
    { ...int3Kernel, name },
    { handler: kernelHandler(make, counts), tornDown: true, ...row },
  );
};

const nmi = (options: Omit<PercpuNmiOptions, 'entry'>) => (entry: Entry) =>
  percpuNmi({ entry, ...options });
const merged = (entry: Entry) => gap({ gap: 6, entry });
const shipped = userHandler(SIGTRAP_PROGRAM, 'registry');
const counted = (entry: Entry) => gap({ gap: 6, entry, counted: true });
const aborting = kernelHandler((entry) => abort({ entry }));
/** Traps are claimed between publish and retire, and handlers write what others read. */
const helping = (handler: NonNullable<Proposal['handler']>) =>
  ({ handler, tornDown: true, coupled: true }) as const;
const retiring = (retry: Retry) => {
  const { program, words } = retire({ retry });
  return userHandler(program, 'poke', words);
};

/** Handlers that a user's own protocol can name. */
export const HANDLERS = {
  gap: { environment: 'kernel', make: kernelHandler(merged) },
  counted: { environment: 'kernel', make: kernelHandler(counted) },
  abort: { environment: 'kernel', make: aborting },
  shift: { environment: 'kernel', make: kernelHandler((entry) => shift({ entry })) },
  skip: { environment: 'kernel', make: kernelHandler((entry) => skip({ entry })) },
  levels: { environment: 'kernel', make: kernelHandler((entry) => levels({ entry }), 'level') },
  sigtrap: { environment: 'user', make: shipped },
  retire: { environment: 'user', make: retiring('versioned') },
} as const satisfies Record<
  string,
  { environment: Environment; make: (entry: Entry) => FixtureHandler }
>;
export type HandlerName = keyof typeof HANDLERS;

/**
 * A site whose changed bytes lie inside one aligned quadword, and one where they lie in one line
 * only.
 */
const IN_QWORD = 8;
const IN_LINE = 30;

export const PROPOSALS: readonly Proposal[] = [
  inKernel('pointer', '', pointer, { via: 'pointer' }),
  inKernel('pointer', 'retpoline', pointer, { via: 'retpoline' }),
  inKernel('trampoline', '', trampoline, { via: 'trampoline' }),
  inKernel('naive', '', naive),
  inKernel('store', '', store, { offset: IN_QWORD }),
  inKernel('store', 'in-line', storeInLine, { offset: IN_LINE }),
  inKernel('store', 'refused', store, { via: 'trampoline' }),
  inKernel('store', 'forced', store, { full: true }),
  poke('int3-stub', '', (entry) => stub({ entry })),
  poke('int3-stub', 'shadow', (entry) => stub({ entry, shadow: true }), { full: true }),
  poke('int3-skip', '', (entry) => skip({ entry })),
  poke('int3-gap', '', merged),
  poke('int3-gap', 'no-gap', (entry) => gap({ gap: 0, entry })),
  inKernel('int3-gap', 'permanent', int3KernelPermanent, { handler: kernelHandler(merged) }),
  poke('int3-gap', 'shadow', (entry) => gap({ gap: 6, entry, shadow: true }), { full: true }),
  poke('int3-gap', 'lost-tail', merged, { lostTail: true, full: true }),
  inKernel('int3-gap', 'counted', int3KernelCounted, helping(kernelHandler(counted))),
  poke('int3-gap', 'two-sites', merged, { functions: 2, full: true }),
  poke('int3-gap', 'unsorted', merged, { functions: 2, order: 'unsorted', full: true }),
  poke('int3-gap', 'duplicate', merged, { functions: 2, order: 'duplicate', full: true }),
  poke('int3-gap', 'two-updaters', merged, { updaters: 'locked', full: true }),
  poke('int3-gap', 'no-lock', merged, { updaters: 'unlocked', full: true }),
  poke('int3-gap', 'foreign', merged, { foreign: true, full: true }),
  poke('int3-gap', 'spin', merged, { spin: true }),
  poke('int3-shift', '', (entry) => shift({ entry })),
  poke('int3-shift', 'shadow', (entry) => shift({ entry, shadow: true }), { full: true }),
  poke('int3-percpu', '', (entry) => percpu({ entry, returns: 'posted', clearsIf: true })),
  poke('int3-percpu', 'fixed', (entry) => percpu({ entry, returns: 'fixed', clearsIf: true })),
  poke('int3-percpu', 'if-kept', (entry) => percpu({ entry, returns: 'fixed', clearsIf: false })),
  poke('int3-percpu-nmi', '', nmi({ form: 'ret', tells: 'nowhere' }), { counts: 'nmi' }),
  poke('int3-percpu-nmi', 'jmp', nmi({ form: 'jmp', tells: 'nowhere' }), { counts: 'nmi' }),
  poke('int3-percpu-nmi', 'handler', nmi({ form: 'ret', tells: 'handler' }), { counts: 'nmi' }),
  poke('int3-percpu-nmi', 'trampoline', nmi({ form: 'ret', tells: 'trampoline' }), {
    counts: 'nmi',
  }),
  poke('int3-levels', '', (entry) => levels({ entry }), { counts: 'level' }),
  poke('int3-levels', 'tells', (entry) => levels({ entry, tells: true }), {
    counts: 'level',
    full: true,
  }),
  inKernel('int3-abort', '', int3Abort, helping(aborting)),
  inKernel('int3-abort', 'synced', int3AbortSynced, helping(aborting)),
  inKernel('int3-abort', 'waiting', int3AbortWaiting, helping(aborting)),
  inKernel('stop-machine', '', stopMachineSerialising),
  inKernel('stop-machine', 'plain', stopMachinePlain),

  inUser('naive', '', naive),
  inUser('store', '', store, { offset: IN_QWORD }),
  inUser('store', 'in-line', storeInLine, { offset: IN_LINE }),
  inUser('store', 'refused', store, { via: 'trampoline' }),
  inUser('int3', '', int3, { handler: shipped }),
  inUser('int3', 'foreign', int3, { handler: shipped, foreign: true, full: true }),
  inUser('int3', 'lost-tail', int3, { handler: shipped, lostTail: true, full: true }),
  inUser('int3', 'two-updaters', int3, { handler: shipped, updaters: 'locked', full: true }),
  inUser('int3', 'no-lock', int3, { handler: shipped, updaters: 'unlocked', full: true }),
  inUser('int3', 'two-sites', int3, { handler: shipped, functions: 2, full: true }),
  inUser('int3', 'unsorted', int3, {
    handler: shipped,
    functions: 2,
    order: 'unsorted',
    full: true,
  }),
  inUser('int3', 'shadow', int3, {
    handler: userHandler(SIGTRAP_SHADOW_PROGRAM, 'registry'),
    full: true,
  }),
  inUser('int3-retire', '', retirePlain, { handler: retiring('none'), tornDown: true }),
  inUser('int3-retire', 'reread', retirePlain, { handler: retiring('reread'), tornDown: true }),
  inUser('int3-retire', 'counted', retireCounted, helping(retiring('counted'))),
  inUser('int3-retire', 'versioned', retirePublished, {
    handler: retiring('versioned'),
    tornDown: true,
  }),
  inUser('int3-retire', 'version-first', retireVersioned, {
    handler: retiring('versioned'),
    tornDown: true,
  }),
];

/** A user's own protocol: its handler says where it belongs, or `environment` does. */
export function proposalOf(protocol: Protocol, environment: Environment | undefined): Proposal {
  const { handler, steps } = protocol;
  if (handler !== null && !Object.hasOwn(HANDLERS, handler))
    throw new Fault('bad-protocol', `handler is ${handler}, which is none of ours`, {
      at: 'handler',
      ...hintFor(handler, Object.keys(HANDLERS)),
    });
  const known = handler === null ? null : HANDLERS[handler as HandlerName];
  return {
    ...plain,
    name: protocol.name,
    variant: '',
    environment: known?.environment ?? environment ?? 'user',
    protocol,
    handler: known?.make ?? null,
    tornDown: known !== null && steps.some((step) => step.do === 'retire'),
  };
}

/** The proposal of that name, or a refusal that names the nearest. */
export function findProposal(
  name: string,
  variant: string,
  environment: Environment | undefined,
): Proposal {
  const named = PROPOSALS.filter((each) => each.name === name);
  if (named.length === 0)
    throw new Fault(
      'unknown-protocol',
      `there is no protocol ${name}`,
      hintFor(name, [...new Set(PROPOSALS.map((each) => each.name))]),
    );
  const there = named.filter(
    (each) => environment === undefined || each.environment === environment,
  );
  if (there.length === 0)
    throw new Fault(
      'bad-usage',
      `${name} is for the ${named[0]?.environment ?? 'other'} environment`,
      { hint: `leave out --env` },
    );
  const found = there.find((each) => each.variant === variant);
  if (found === undefined)
    throw new Fault(
      'unknown-protocol',
      `${name} has no variant ${variant}`,
      hintFor(
        variant,
        there.map((each) => each.variant).filter((each) => each !== ''),
      ),
    );
  return found;
}

function hintFor(word: string, known: readonly string[]): { hint: string } {
  return { hint: didYouMean(word, known) ?? `one of ${known.join(', ')}` };
}
