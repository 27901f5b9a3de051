// A run as plain data: what `--json` prints, what a worker sends, what the library returns.

import { BOUNDS, type Configuration } from '../configuration.js';
import { PROPERTIES, PROPERTY_NAMES, type PropertyName } from '../properties.js';
import type { Claim, PropertyVerdict, Run, VerdictWord } from '../search/run.js';
import { explain } from './explain.js';

/** What was found of one property; all but the verdict only where it fails. */
export interface PropertyReport {
  readonly verdict: VerdictWord;
  /** Moves on the path that is drawn. */
  readonly steps?: number;
  readonly story?: string;
  /** Replays it: `static-call check --path`. */
  readonly path?: string;
  /** Drawn as lanes. */
  readonly picture?: string;
  /**
   * Of `unknown`: the search was exhaustive and broke nothing, but these fail so that the machine
   * cannot go on, and what would have come behind that was not seen.
   */
  readonly beyond?: readonly PropertyName[];
  /** Where it was judged with fewer contexts than the run names: with these. */
  readonly contexts?: Configuration['contexts'];
}

/** What was found of one protocol in one configuration, within the bounds that it names. */
export interface RunReport extends Omit<Configuration, 'reduce' | 'offset'> {
  readonly protocol: string;
  readonly variant: string;
  /** Offset of the site in its cache line. */
  readonly offset: number | null;
  /** Where all offsets were asked for: those at which everything is the same. */
  readonly offsets?: readonly number[];
  readonly reduce: Configuration['reduce'];
  readonly properties: Readonly<Record<PropertyName, PropertyReport>>;
  readonly states: number;
  readonly transitions: number;
  readonly seconds: number;
  readonly exhaustive: boolean;
  /** Why it is not exhaustive. */
  readonly stopped: string | null;
  readonly bounds: typeof BOUNDS;
  /** What it means where a property holds: for any number, or within what was counted. */
  readonly claim: Claim;
  readonly bytesPerState: number;
  readonly edgeBytesPerState: number;
  readonly parts: Run['parts'];
}

/**
 * A verdict as data; the properties of `explained` that fail are explained, the others only judged.
 */
export function report(
  verdict: Run,
  explained: readonly PropertyName[] = PROPERTY_NAMES,
): RunReport {
  const { proposal, configuration, states, transitions, seconds, exhaustive, stopped } = verdict;
  const { bytesPerState, edgeBytesPerState, parts, reduce } = verdict;
  const { reduce: _, ...settings } = configuration;
  return {
    protocol: proposal.name,
    variant: proposal.variant,
    ...settings,
    offset: verdict.model.fixture.options.offset,
    reduce,
    properties: ofEach((name): PropertyReport => {
      const { verdict: word, beyond: cut } = judgedOf(verdict, name);
      const beyond = cut === undefined ? {} : { beyond: cut };
      const apart = name === 'after-update-strict' ? verdict.strict : undefined;
      const contexts = apart === undefined ? {} : { contexts: apart.configuration.contexts };
      if (word !== 'fails' || !explained.includes(name))
        return { verdict: word, ...beyond, ...contexts };
      return { verdict: word, ...explain(verdict, name), ...contexts };
    }),
    states,
    transitions,
    seconds,
    exhaustive,
    stopped,
    bounds: BOUNDS,
    claim: verdict.claim,
    bytesPerState,
    edgeBytesPerState,
    parts,
  };
}

const judgedOf = ({ properties }: Run, name: PropertyName): PropertyVerdict =>
  properties.get(name) ?? { verdict: 'unknown' };

/** The report of a search that could not say anything. */
export function unknownReport(
  {
    protocol,
    variant,
    configuration: settings,
  }: { readonly protocol: string; readonly variant: string; readonly configuration: Configuration },
  stopped: string,
): RunReport {
  return {
    protocol,
    variant,
    ...settings,
    stopped,
    exhaustive: false,
    states: 0,
    transitions: 0,
    seconds: 0,
    bounds: BOUNDS,
    claim: { word: 'checked', within: [] },
    bytesPerState: 0,
    edgeBytesPerState: 0,
    parts: { images: 0, cpus: 0, environments: 0, instructions: 0 },
    properties: ofEach(() => ({ verdict: 'unknown' })),
  };
}

function ofEach(make: (name: PropertyName) => PropertyReport): RunReport['properties'] {
  return Object.fromEntries(PROPERTIES.map(({ name }) => [name, make(name)])) as Record<
    PropertyName,
    PropertyReport
  >;
}
