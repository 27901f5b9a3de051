// A run as plain data: what `--json` prints, what a worker sends, what the library returns.

import { standing, trace, type Trace, type TraceStep } from './trace.js';
import { draw, drawSvg, story } from './timeline.js';
import { SECOND_PASS_MAX, readable } from './shorten.js';
import { perform, scheduleOf } from './schedule.js';
import { unsorted, type Choice, type Shape } from '../search/expand.js';
import { replay } from '../search/path.js';
import { decodeToken, encodeToken } from './token.js';
import { build, run, shapeOf as shapeOfRun, type Run, type VerdictWord } from '../search/run.js';
import { PROPOSALS, findProposal, proposalOf, type Proposal } from '../../zoo/index.js';
import { BOUNDS, type Configuration } from '../configuration.js';
import type { Model } from '../../machine/sim/model.js';
import { INTERRUPTED, type Limits } from '../search/explore.js';
import { PROPERTIES, type PropertyName } from '../properties.js';

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
}

/** What was found of one protocol in one configuration, within the bounds that it names. */
export interface RunReport extends Omit<Configuration, 'reduce' | 'offset'> {
  readonly protocol: string;
  readonly variant: string;
  readonly reduce: Configuration['reduce'];
  readonly properties: Readonly<Record<PropertyName, PropertyReport>>;
  readonly states: number;
  readonly transitions: number;
  readonly seconds: number;
  readonly exhaustive: boolean;
  /** Why it is not exhaustive. */
  readonly stopped: string | null;
  readonly bounds: typeof BOUNDS;
  readonly bytesPerState: number;
  readonly edgeBytesPerState: number;
  readonly parts: Run['parts'];
}

/** What a path is about: CPUs under their own numbers. */
const shapeOf = (configuration: Configuration): Shape =>
  unsorted(shapeOfRun(configuration, configuration.reduce));

export function report(
  proposal: Proposal,
  configuration: Configuration,
  limits: Limits,
): RunReport {
  const done = run(proposal, configuration, limits);
  const properties = Object.fromEntries(
    PROPERTIES.map(({ name }) => {
      const verdict = done.properties.get(name) ?? { verdict: 'unknown' as const };
      if (verdict.verdict !== 'fails') return [name, { verdict: verdict.verdict }];
      const of = name === 'after-update-strict' && done.strict !== undefined ? done.strict : done;
      const finding = of.search.findings.get(name);
      if (finding === undefined) return [name, { verdict: 'unknown' }];
      const chosen = { ...of.configuration, reduce: of.reduce };
      const shape = shapeOf(chosen);
      // Who interrupts a search is not to wait for another one.
      const { path, lap } = readable(
        of.model,
        of.search,
        finding,
        shape,
        done.stopped === INTERRUPTED ? 0 : SECOND_PASS_MAX,
      );
      const text =
        endOf(of.model, path, shape, name) ??
        (name === 'deadlock'
          ? `${finding.text}: ${standing(of.model, path, shape)}`
          : name === 'livelock'
            ? `${going(lap)}, ${finding.text}`
            : finding.text);
      const told = trace(of.model, path, shape, `${name}: ${text}`);
      const split = of.model.options.grain.split;
      const own = PROPOSALS.includes(proposal) ? null : proposal.protocol;
      const token = encodeToken({
        protocol: proposal.name,
        variant: proposal.variant,
        property: name,
        configuration: chosen,
        split,
        own,
        text,
        path,
      });
      return [
        name,
        {
          verdict: 'fails',
          steps: path.length,
          story: story(told, text),
          path: token,
          picture: draw(told),
        },
      ];
    }),
  ) as Record<PropertyName, PropertyReport>;
  const { reduce: _, offset: __, ...rest } = configuration;
  return {
    protocol: proposal.name,
    variant: proposal.variant,
    ...rest,
    reduce: done.reduce,
    properties,
    states: done.states,
    transitions: done.transitions,
    seconds: done.seconds,
    exhaustive: done.exhaustive,
    stopped: done.stopped,
    bounds: BOUNDS,
    bytesPerState: done.bytesPerState,
    edgeBytesPerState: done.edgeBytesPerState,
    parts: done.parts,
  };
}

/** Who goes round. */
function going(lap: readonly Choice[]): string {
  const who = [...new Set(lap.map((choice) => choice.who))]
    .sort((a, b) => a - b)
    .map((each) => (each < 0 ? 'the patcher' : `CPU ${each}`));
  return who.length === 1
    ? `${who.join('')} goes round by itself`
    : `${who.join(' and ')} go round, each in turn`;
}

/** Of a search that could not say anything. */
export function unknownReport(
  {
    protocol,
    variant,
    configuration: { offset: _, ...configuration },
  }: { readonly protocol: string; readonly variant: string; readonly configuration: Configuration },
  stopped: string,
): RunReport {
  return {
    protocol,
    variant,
    ...configuration,
    stopped,
    exhaustive: false,
    states: 0,
    transitions: 0,
    seconds: 0,
    bounds: BOUNDS,
    bytesPerState: 0,
    edgeBytesPerState: 0,
    parts: { images: 0, cpus: 0, environments: 0, instructions: 0 },
    properties: Object.fromEntries(
      PROPERTIES.map(({ name }) => [name, { verdict: 'unknown' }]),
    ) as unknown as RunReport['properties'],
  };
}

/** One way to a violation, step by step and drawn. */
export interface PathReport {
  readonly protocol: string;
  readonly variant: string;
  readonly property: string;
  readonly steps: readonly TraceStep[];
  readonly picture: string;
  readonly svg: string;
}

/**
 * What a token says happened.
 * @throws Fault `bad-usage` where it is damaged, or of another version of the model
 * @example
 * const { runs } = await check(['naive'], { updates: 1 });
 * const { picture } = replayToken(runs[0]!.properties.torn.path!);
 * if (!picture.includes('CPU 0')) throw new Error('nobody is in the picture');
 */
export function replayToken(text: string): PathReport {
  const { protocol, variant, property, told } = retold(text);
  return { protocol, variant, property, ...drawn(told) };
}

/**
 * The same schedule under another protocol: its CPU fetches the site after as many stores, and then
 * all run to the end.
 * @throws Fault `bad-usage` where the token is damaged, `unknown-protocol`
 * @example
 * const { runs: [run] } = await check(['naive'], { environment: 'user', passes: 1, updates: 1 });
 * const { property } = replayUnder(run!.properties.torn.path!, 'int3');
 * if (property !== 'none') throw new Error('int3 keeps every promise');
 */
export function replayUnder(text: string, name: string): PathReport {
  const { configuration, split, told: from } = retold(text);
  const [protocol = name, variant = ''] = name.split('/');
  const proposal = findProposal(protocol, variant, configuration.environment);
  const model = build(proposal, configuration, { plain: configuration.reduce === 'none', split });
  const shape = shapeOf(configuration);
  const { path, crux, bad } = perform(model, scheduleOf(from), shape, (property) =>
    PROPERTIES.some(({ name: each, apart }) => each === property && !apart),
  );
  const told = trace(model, path, shape, null);
  const ran = told.steps.flatMap(({ who, entered }) =>
    entered === null ? [] : [`CPU ${who} runs ${entered}`],
  );
  const end =
    bad !== null
      ? `${bad.property}: ${bad.text}`
      : `${ran.length === 0 ? 'no target runs' : `${ran.join(', ')}, and nothing else`}`;
  return {
    protocol,
    variant,
    property: bad?.property ?? 'none',
    ...drawn({ ...told, end, crux: bad === null ? crux : told.crux }),
  };
}

const drawn = (told: Trace): Pick<PathReport, 'steps' | 'picture' | 'svg'> => ({
  steps: told.steps,
  picture: draw(told),
  svg: drawSvg(told),
});

function retold(token: string): ReturnType<typeof decodeToken> & { readonly told: Trace } {
  const decoded = decodeToken(token);
  const { protocol, variant, property, configuration, split, own, text, path } = decoded;
  const proposal =
    own === null
      ? findProposal(protocol, variant, configuration.environment)
      : proposalOf(own, configuration.environment);
  const model = build(proposal, configuration, { plain: configuration.reduce === 'none', split });
  const shape = shapeOf(configuration);
  return {
    ...decoded,
    told: trace(model, path, shape, `${property}: ${endOf(model, path, shape, property) ?? text}`),
  };
}

/**
 * What breaks the property at the path's end; null where the state itself does, which the search
 * alone can tell.
 */
function endOf(
  model: Model,
  path: readonly Choice[],
  shape: Shape,
  property: string,
): string | null {
  const last = replay(model, path, shape).at(-1);
  return last?.move?.bad.find((bad) => bad.property === property)?.text ?? null;
}
