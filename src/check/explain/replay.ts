// A path that was pasted: followed, judged anew and drawn. Of what the token claims only the
// protocol, the configuration and the choices are used; what they come to is computed here.

import { Fault } from '../../base/fault.js';
import type { Model } from '../../machine/sim/model.js';
import { findProposal, proposalOf } from '../../zoo/index.js';
import { PROPERTIES, type PropertyName } from '../properties.js';
import { build, shapeOf } from '../search/build.js';
import type { Choice } from '../search/expand.js';
import { unsorted, type Shape } from '../search/state.js';
import { violationOf } from './judge.js';
import { perform, scheduleOf } from './schedule.js';
import { drawSvg, type Panel } from './svg.js';
import { draw } from './timeline.js';
import { decodeToken, type Token } from './token.js';
import { trace, type Trace, type TraceStep } from './trace.js';

/** One way to a violation, step by step and drawn. */
export interface PathReport {
  readonly protocol: string;
  readonly variant: string;
  /** The protocol came with the token and is none of `protocols()`, whatever its name. */
  readonly own: boolean;
  readonly property: string;
  readonly steps: readonly TraceStep[];
  readonly picture: string;
  /** The picture as an image; of `replayUnder`, both schedules side by side. */
  readonly svg: string;
}

/**
 * Follows the path in a token, and says which property its end violates.
 * @throws Fault `bad-usage` where it is damaged, of another version of the model, or violates
 *   nothing
 * @example
 * const { runs } = await check(['naive'], { updates: 1 });
 * const { picture } = replayToken(runs[0]!.properties.torn.path!);
 * if (!picture.includes('CPU 0')) throw new Error('no CPU is in the picture');
 */
export function replayToken(text: string): PathReport {
  const { token, proposal, property, drawn } = replayed(text);
  const { name: protocol, variant } = proposal;
  const svg = drawSvg(panelOf(proposal, property, drawn));
  return { protocol, variant, own: token.own !== null, property, ...pictures(drawn), svg };
}

/**
 * The same schedule under another protocol: its CPU fetches the site after as many stores, and then
 * all run to the end.
 * @throws Fault `bad-usage` where the token is damaged or violates nothing, `unknown-protocol`
 * @example
 * const { runs: [run] } = await check(['naive'], { environment: 'user', passes: 1, updates: 1 });
 * const { property } = replayUnder(run!.properties.torn.path!, 'int3');
 * if (property !== 'none') throw new Error('int3 keeps every promise');
 */
export function replayUnder(text: string, name: string): PathReport {
  const { token, proposal: failed, property: broken, drawn: from } = replayed(text);
  const { proposal, property, drawn } = performUnder(token, from, name);
  const { name: protocol, variant } = proposal;
  const svg = drawSvg(
    panelOf(failed, broken, from),
    panelOf(proposal, property, drawn, 'the same schedule under '),
  );
  return { protocol, variant, own: false, property, ...pictures(drawn), svg };
}

/** What `performUnder` found: the machine, the path that it took and what came of it. */
export interface Performed extends Machine {
  readonly proposal: Checked;
  readonly path: readonly Choice[];
  /** `none` where nothing is broken. */
  readonly property: PropertyName | 'none';
  readonly drawn: Trace;
}

/** @throws Fault `unknown-protocol`, `bad-usage` for a protocol of the other environment */
export function performUnder(token: Token, from: Trace, name: string): Performed {
  const [protocol = name, variant = ''] = name.split('/');
  const proposal = findProposal(protocol, variant, token.configuration.environment);
  const { model, shape } = machineOf(token, proposal);
  const { path, crux, bad } = perform(model, scheduleOf(from), shape, decides);
  const drawn = trace(model, path, shape, null);
  const ran = drawn.steps.flatMap(({ who, entered }) =>
    entered === null ? [] : [`CPU ${who} runs ${entered}`],
  );
  const calls = ran.length === 0 ? 'no target runs' : `${ran.join(', ')}, and nothing else`;
  const end = bad === null ? calls : `${bad.property}: ${bad.text}`;
  return {
    proposal,
    model,
    shape,
    path,
    property: bad?.property ?? 'none',
    drawn: { ...drawn, end, crux: bad === null ? crux : drawn.crux },
  };
}

/** Failing it makes the answer "no". */
const decides = (property: PropertyName): boolean =>
  PROPERTIES.some(({ name, apart }) => name === property && !apart);

const pictures = (drawn: Trace): Pick<PathReport, 'steps' | 'picture'> => ({
  steps: drawn.steps,
  picture: draw(drawn),
});

function panelOf(
  { name, variant }: Checked,
  property: PropertyName | 'none',
  trace: Trace,
  before = '',
): Panel {
  const title = `${before}${name}${variant === '' ? '' : `/${variant}`}`;
  const broken = property !== 'none';
  return { heading: `${title}: ${broken ? property : 'nothing is broken'}`, broken, trace };
}

type Checked = ReturnType<typeof findProposal>;

export interface Machine {
  readonly model: Model;
  readonly shape: Shape;
}

/** What a token's path runs on. */
export function machineOf({ configuration, split }: Token, proposal: Checked): Machine {
  const { reduce } = configuration;
  return {
    model: build(proposal, configuration, { plain: reduce === 'none', split }),
    shape: unsorted(shapeOf(configuration, reduce)),
  };
}

/** One of ours by its name, or the one that came with the token. */
export const proposalIn = ({ own, protocol, variant, configuration }: Token): Checked =>
  own === null
    ? findProposal(protocol, variant, configuration.environment)
    : proposalOf(own, configuration.environment);

function replayed(text: string) {
  const token = decodeToken(text);
  const proposal = proposalIn(token);
  const { model, shape } = machineOf(token, proposal);
  // A step may break several promises: the token says which one it is about, and no more.
  const violation = violationOf(model, token.path, shape, token.property);
  if (violation === undefined)
    throw new Fault('bad-usage', 'the path violates no property', {
      hint: 'paste a token that check printed, unchanged',
    });
  const { property } = violation;
  const drawn = trace(model, token.path, shape, `${property}: ${violation.text}`);
  return { token, proposal, property, drawn };
}
