// A run as plain data: what `--json` prints, what a worker sends, what the library returns.

import { BOUNDS, type Configuration } from '../configuration.js';
import { PROPERTIES, PROPERTY_NAMES, type PropertyName } from '../properties.js';
import type { PropertyVerdict, Run } from '../search/run.js';
import { explain } from './explain.js';
import type { PropertyReport, RunReport } from '../result.js';

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
