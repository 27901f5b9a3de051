// Everything that can be checked by name, in the order of the tables: the kernel's rows, then those
// of a process. A new idea is a file beside this one and a line here.

import { Fault } from '../base/fault.js';
import { didYouMean } from '../base/nearest.js';
import type { FixtureHandler } from '../machine/sim/options.js';
import type { Environment } from '../machine/sim/settings.js';
import { SIGTRAP_PROGRAM } from '../native/sigtrap.js';
import type { Protocol } from '../plan/protocol.js';
import type { Entry } from '../trap/entry.js';
import { parseHandler, type ParsedHandler } from '../plan/handler.js';
import { auto } from './auto.js';
import { breakpoint, type BreakpointHandler } from './breakpoint.js';
import { aborting, int3Abort } from './int3-abort.js';
import { counted, int3Gap, merged } from './int3-gap.js';
import { int3Levels, levels } from './int3-levels.js';
import { int3PercpuNmi } from './int3-percpu-nmi.js';
import { int3Percpu } from './int3-percpu.js';
import { int3Retire, retiring } from './int3-retire.js';
import { int3Shift, shift } from './int3-shift.js';
import { int3Skip, skip } from './int3-skip.js';
import { int3Stub } from './int3-stub.js';
import { int3 } from './int3.js';
import { naive } from './naive.js';
import { pointer } from './pointer.js';
import {
  inKernel,
  inUser,
  kernelHandler,
  userHandler,
  type Idea,
  type Proposal,
} from './proposal.js';
import { stopMachine } from './stop-machine.js';
import { stop as stopThreads } from './stop.js';
import { store } from './store.js';
import { release, stop } from './system.js';
import { SYSTEMS, type System } from './systems/index.js';
import { trampoline } from './trampoline.js';

export type { Idea, Proposal } from './proposal.js';
export { SYSTEMS, type System } from './systems/index.js';

export const IDEAS: readonly Idea[] = [
  pointer,
  trampoline,
  naive,
  store,
  int3Stub,
  int3Skip,
  int3Gap,
  int3Shift,
  int3Percpu,
  int3PercpuNmi,
  int3Levels,
  int3Abort,
  stopMachine,
  int3,
  int3Retire,
  auto,
  stopThreads,
];

export const PROPOSALS: readonly Proposal[] = (['kernel', 'user'] as const).flatMap((where) =>
  IDEAS.flatMap(({ rows }) => rows.filter(({ environment }) => environment === where)),
);

/** What a system's row is called: as it is, with one change, and each with everybody stopped. */
export const VARIANTS = [
  '',
  'mended',
  'broken',
  'stopped',
  'mended-stopped',
  'broken-stopped',
] as const;
export type Variant = (typeof VARIANTS)[number];

interface Known {
  readonly environment: Environment;
  readonly make: (entry: Entry) => FixtureHandler;
  readonly sites: Proposal['sites'];
}
/** Handlers that a user's own protocol can name. */
const HANDLERS: ReadonlyMap<string, Known> = new Map<string, Known>([
  ['gap', { environment: 'kernel', make: kernelHandler(merged), sites: 'any' }],
  ['counted', { environment: 'kernel', make: kernelHandler(counted), sites: 'any' }],
  ['abort', { environment: 'kernel', make: aborting, sites: 'five' }],
  [
    'shift',
    { environment: 'kernel', make: kernelHandler((entry) => shift({ entry })), sites: 'five' },
  ],
  [
    'skip',
    { environment: 'kernel', make: kernelHandler((entry) => skip({ entry })), sites: 'five' },
  ],
  [
    'levels',
    {
      environment: 'kernel',
      make: kernelHandler((entry) => levels({ entry }), 'level'),
      sites: 'five',
    },
  ],
  [
    'sigtrap',
    { environment: 'user', make: userHandler(SIGTRAP_PROGRAM, 'registry'), sites: 'any' },
  ],
  ['retire', { environment: 'user', make: retiring('versioned'), sites: 'five' }],
]);

const ownHandler =
  ({ jump, ...rest }: ParsedHandler) =>
  (entry: Entry): BreakpointHandler =>
    breakpoint({ entry, ...rest, ...(jump === null ? {} : { jump }) });

/** A user's own protocol: its handler says where it belongs, or `environment` does. */
export function proposalOf(protocol: Protocol, environment: Environment = 'user'): Proposal {
  const { name, handler, steps, sites = 1, keys = 1, order } = protocol;
  const make = { user: inUser, kernel: inKernel };
  const several = {
    functions: sites,
    passesBoth: sites === 2,
    keys,
    order: order === 'each' ? 'each' : 'sorted',
  } as const;
  if (handler === null) return make[environment](name, '', protocol, several);
  const tornDown = steps.some((step) => step.do === 'retire');
  if (typeof handler !== 'string')
    return inKernel(name, '', protocol, {
      ...several,
      handler: kernelHandler(ownHandler(parseHandler(handler))),
      sites: 'five',
      tornDown,
    });
  const known = HANDLERS.get(handler);
  if (known === undefined)
    throw new Fault('bad-protocol', `handler is ${handler}, which is none of ours`, {
      at: 'handler',
      ...hintFor(handler, [...HANDLERS.keys()]),
    });
  return make[known.environment](name, '', protocol, {
    ...several,
    handler: known.make,
    sites: known.sites,
    tornDown,
  });
}

/** The same steps while no other thread runs. */
function stopped(protocol: Protocol): Protocol {
  if (protocol.steps.some((step) => step.do === 'stop')) return protocol;
  // Where all stand, no one could answer; they serialise when they go on.
  const steps = protocol.steps.filter((step) => step.do !== 'sync' && step.do !== 'grace');
  return { ...protocol, steps: [stop, ...steps, release()] };
}

/** The rows that a system of the zoo can be checked by. */
const rowsOf = ({ name, environment, protocol, mended, broken }: System): readonly Proposal[] => {
  const changed = [
    ['', protocol],
    ['mended', mended?.protocol],
    ['broken', broken?.protocol],
  ] as const;
  return changed.flatMap(([variant, each]) => {
    if (each === undefined) return [];
    const named = (suffix: string, as: Protocol): Proposal => ({
      ...proposalOf({ ...as, name }, environment),
      variant: [variant, suffix].filter((word) => word !== '').join('-'),
    });
    return [named('', each), named('stopped', stopped(each))];
  });
};

const NAMED: readonly Proposal[] = [...PROPOSALS, ...SYSTEMS.flatMap(rowsOf)];

/** The proposal of that name, or a refusal that names the nearest. */
export function findProposal(
  name: string,
  variant: string,
  environment: Environment | undefined,
): Proposal {
  const named = NAMED.filter((each) => each.name === name);
  if (named.length === 0)
    throw new Fault(
      'unknown-protocol',
      `there is no protocol ${name}`,
      hintFor(name, [...new Set(NAMED.map((each) => each.name))]),
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
