// A patcher that ships, shipped, or was proposed, as a row of the zoo: where its source was read,
// its steps as a protocol, one change that would mend it and one that breaks it. What it stands on
// is found by the search (check/ask/ladder.ts) and written nowhere here.

import type { Acceptance, Place, Protocol, SiteText, Step, TextState } from '../plan/protocol.js';
import type { Environment, SiteShape } from '../machine/sim/settings.js';

/**
 * Where the steps were read. The sources are quoted nowhere: each list of steps is written anew.
 */
export interface Read {
  /** `owner/name` on GitHub, or a mail's address. */
  readonly repository: string;
  readonly path: string;
  readonly what: string;
  /** Twelve digits of the commit at which it was read; empty for a mail. */
  readonly commit: string;
  readonly licence: string;
}

/** The same system with one thing changed. */
export interface Change {
  readonly says: string;
  readonly protocol: Protocol;
}

export interface System {
  readonly name: string;
  /** As a person calls it: `LLVM XRay, function entry`. */
  readonly title: string;
  readonly status: 'ships' | 'shipped' | 'proposed';
  readonly read: readonly Read[];
  readonly environment: Environment;
  readonly protocol: Protocol;
  /** Shape of the site, where the protocol brings no text. */
  readonly site: SiteShape;
  /** Updates that are tried: 1 where the system never goes back. */
  readonly updates: 1 | 2;
  /** One changed line that would let it stand lower on the ladder. */
  readonly mended: Change | null;
  /** Its known bug put back, or the thing that it stands on taken away. */
  readonly broken: Change | null;
  /** Bugs of its own that confirm what is found, with their ids. */
  readonly bugs: readonly string[];
  /** What of the system is left out. */
  readonly leaves: string;
}

type Given = Omit<System, 'site' | 'updates' | 'mended' | 'broken' | 'bugs' | 'leaves' | 'status'>;

export const system = (given: Given & Partial<System>): System => ({
  status: 'ships',
  site: 'call',
  updates: 2,
  mended: null,
  broken: null,
  bugs: [],
  leaves: '',
  ...given,
});

/** A mail of a mailing list, as what was read. */
export const said = (repository: string, what: string): Read => ({
  repository,
  path: '',
  what,
  commit: '',
  licence: 'a mail',
});

export const ANYWHERE: Acceptance = { bytes: 'whole', within: null };

interface Steps {
  readonly name: string;
  readonly about: string;
  readonly steps: readonly Step[];
  readonly accepts?: Acceptance;
  readonly handler?: Protocol['handler'];
  readonly text?: SiteText;
}

/** A patcher that stores to the address at which the text runs, and promises old or new. */
export const jit = ({ accepts = ANYWHERE, handler, ...rest }: Steps, offset?: Place['offset']) =>
  ({
    accepts,
    place: { from: 'same-address', ...(offset === undefined ? {} : { offset }) },
    handler: handler ?? null,
    promise: 'eventually',
    ...rest,
  }) satisfies Protocol;

/** The same by LOCKed stores, which are in memory when it returns. */
export const locked = (protocol: Protocol): Protocol => ({ ...protocol, promise: 'stored' });

/** A patcher whose update has taken effect when it returns, through another mapping. */
export const poke = ({ accepts = ANYWHERE, handler, ...rest }: Steps, offset?: Place['offset']) =>
  ({
    accepts,
    ...(offset === undefined ? {} : { place: { offset } }),
    handler: handler ?? null,
    ...rest,
  }) satisfies Protocol;

export const publish = (why = 'the new code is in place'): Step => ({ do: 'publish', why });
export const sync = (why: string): Step => ({ do: 'sync', why });
type As = 'one' | 'exchange' | 'merge' | 'bytes';
/** New bytes of the text, by one store unless said otherwise. */
export const put = (at: number, bytes: number, why: string, as: As = 'one'): Step => ({
  do: 'write',
  at,
  bytes,
  from: 'new',
  as,
  why,
});
/** New code at its place, one byte after the other unless said otherwise. */
export const emit = (why: string, as: 'one' | 'bytes' = 'bytes'): Step => ({ do: 'emit', as, why });
export const into = (step: Step, ...states: readonly string[]): Step => ({ ...step, into: states });
export const trapByte = (why: string): Step => ({
  do: 'write',
  at: 0,
  bytes: 1,
  from: 'trap',
  as: 'one',
  why,
});
export const head = (bytes: readonly number[], why: string): Step => ({
  do: 'store-head',
  bytes,
  why,
});
export const stop: Step = { do: 'stop', why: 'no thread runs while the text is written' };
export const release = (serialise = true): Step => ({
  do: 'release',
  serialise,
  why: 'they go on',
});

export const state = (name: string, runs: TextState['runs'], bytes: string): TextState => ({
  name,
  runs,
  bytes,
});
/** A state that brings fresh code, or the first one, which says what its place held before. */
export const fresh = (before: TextState, code: string): TextState => ({ ...before, fresh: code });
export const texts = (
  states: readonly [TextState, TextState, ...TextState[]],
  rest: Omit<SiteText, 'states'> = {},
): SiteText => ({ ...rest, states });
