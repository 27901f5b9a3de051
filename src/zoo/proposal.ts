// The form of a file in this room: one idea for patching text, who proposed it, what was said
// against it, and the rows that the checker explores. A variant is the same idea with one thing
// changed, mostly the thing that a reviewer asked about. index.ts lists them.

import { type FixtureHandler, type FixtureOptions, type Shape } from '../machine/sim/options.js';
import { FUNCTIONS, SHAPES, type Environment, type SiteShape } from '../machine/sim/settings.js';
import type { Protocol } from '../plan/protocol.js';
import { Fault } from '../base/fault.js';
import { SITE_FORMS } from '../x86/forms.js';
import type { Entry } from '../trap/entry.js';
import type { BreakpointHandler } from './breakpoint.js';
import { textPoke } from './text-poke.js';

/** A mail or a commit: the person, the day, and where it can be read. */
export interface Source {
  readonly by: string;
  /** ISO date, as exact as it is known. */
  readonly on: string;
  readonly url: string;
}

export interface Idea {
  readonly proposed: readonly Source[];
  /** One sentence each, with the objector's name where a person said it. */
  readonly objections: readonly string[];
  readonly rows: readonly Proposal[];
}

export interface Proposal {
  readonly name: string;
  /** Empty for the protocol as proposed. */
  readonly variant: string;
  readonly environment: Environment;
  readonly protocol: Protocol;
  readonly handler: ((entry: Entry) => FixtureHandler) | null;
  readonly via: FixtureOptions['via'];
  /**
   * Offset of the site in its line where nothing else is asked for; null for the worst one that the
   * protocol takes.
   */
  readonly offset: number | null;
  /** Traps are claimed only between publish and retire. */
  readonly tornDown: boolean;
  readonly order: FixtureOptions['order'];
  /** Sites in the batch. */
  readonly functions: 1 | 2;
  /** A task passes the second site too, behind the first. */
  readonly passesBoth: boolean;
  /** With two, each site has a key of its own, and updates change one key after the other. */
  readonly keys: 1 | 2;
  /** Form and offset of the second site, where they are not the first one's. */
  readonly second: FixtureOptions['second'];
  /** Whether one store of the writer's is one, for a protocol whose sites go several ways. */
  readonly wholeStores: boolean;
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
  /**
   * `five`: its handler knows calls and jumps of five bytes and nothing else, so other sites are
   * refused. Without a handler every site will do.
   */
  readonly sites: 'any' | 'five';
  /** Only worth a row beside its fellows in the full matrix. */
  readonly full: boolean;
}

/** `<id>` of a mail, as lore.kernel.org finds it. */
export const mail = (by: string, on: string, id: string): Source => ({
  by,
  on,
  url: `https://lore.kernel.org/r/${id}`,
});
/** A mail whose id is not at hand, by its place in the hypermail archive of the list. */
export const archived = (by: string, on: string, path: string): Source => ({
  by,
  on,
  url: `https://lkml.iu.edu/hypermail/linux/kernel/${path}.html`,
});
export const commit = (by: string, on: string, id: string): Source => ({
  by,
  on,
  url: `https://git.kernel.org/linus/${id}`,
});

export const kernelHandler =
  (make: (entry: Entry) => BreakpointHandler, counts: FixtureHandler['counts'] = null) =>
  (entry: Entry): FixtureHandler => ({ ...make(entry), tables: 'poke', counts });

export const userHandler =
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

type Rest = Partial<Omit<Proposal, 'name' | 'variant' | 'environment' | 'protocol'>>;

const row = (
  environment: Environment,
  name: string,
  variant: string,
  protocol: Protocol,
  rest: Rest,
): Proposal => ({
  handler: null,
  via: 'site',
  offset: null,
  tornDown: false,
  order: 'sorted',
  functions: 1,
  passesBoth: false,
  keys: 1,
  second: null,
  wholeStores: true,
  lostTail: false,
  spin: false,
  foreign: false,
  updaters: 'one',
  coupled: false,
  sites: 'any',
  full: false,
  ...rest,
  name,
  variant,
  environment,
  protocol,
});

/** A row for the kernel, or for a process. */
export const inKernel = (
  name: string,
  variant: string,
  protocol: Protocol,
  rest: Rest = {},
): Proposal => row('kernel', name, variant, protocol, rest);
export const inUser = (
  name: string,
  variant: string,
  protocol: Protocol,
  rest: Rest = {},
): Proposal => row('user', name, variant, protocol, rest);

/** Trap byte and emulation in the kernel, with a table for each update. */
export function poke(
  name: string,
  variant: string,
  make: (entry: Entry) => BreakpointHandler,
  { counts = null, ...rest }: Rest & { readonly counts?: FixtureHandler['counts'] } = {},
): Proposal {
  const handler = kernelHandler(make, counts);
  return inKernel(
    name,
    variant,
    { ...textPoke, name },
    { handler, tornDown: true, sites: 'five', ...rest },
  );
}

/** As it is named: `int3-gap/no-gap`. */
export const titled = ({ name, variant }: Pick<Proposal, 'name' | 'variant'>): string =>
  variant === '' ? name : `${name}/${variant}`;

const isShort = ({ kind, length }: Shape): boolean =>
  kind !== 'jcc' && length === SITE_FORMS.call.length;

/** Whether sites of that shape are any that the proposal can patch. */
export const emulates = ({ via, sites }: Proposal, site: SiteShape): boolean =>
  isShort(SHAPES[site]) || (via === 'site' && sites === 'any');

/** @throws Fault `bad-usage` where sites of that shape are none that the proposal can patch */
export function checkSite(proposal: Proposal, site: SiteShape): void {
  if (proposal.keys === 2 && !SHAPES[site].sequence.every((to) => FUNCTIONS.includes(to)))
    throw new Fault(
      'bad-usage',
      `${titled(proposal)} has two keys, each of which goes from one function to another, not --site ${site}`,
      { hint: 'ask --site call or jmp' },
    );
  if (emulates(proposal, site)) return;
  const { via } = proposal;
  const title = titled(proposal);
  if (via !== 'site')
    throw new Fault('bad-usage', `${title} does not patch sites, so --site ${site} says nothing`);
  throw new Fault(
    'bad-usage',
    `the handler of ${title} emulates calls and jumps of five bytes only, not --site ${site}`,
    { hint: 'ask int3-gap in a kernel, or int3 in a process' },
  );
}

/** Two keys with a site each, which a task passes one behind the other. */
export const TWO_KEYS = { functions: 2, passesBoth: true, keys: 2, full: true } as const;
/** Two sites of one key, which an update changes one after the other. */
export const EACH_SITE = { functions: 2, passesBoth: true, order: 'each', full: true } as const;

/** Traps are claimed between publish and retire, and the handler writes what other CPUs read. */
export const helping = (handler: NonNullable<Proposal['handler']>) =>
  ({ handler, tornDown: true, coupled: true }) as const;

/**
 * A site whose changed bytes lie inside one aligned quadword, and one where only a line holds them.
 */
export const IN_QWORD = 8;
export const IN_LINE = 30;
/** Over the end of a line, whatever the protocol takes. */
export const OVER_LINE = 61;
