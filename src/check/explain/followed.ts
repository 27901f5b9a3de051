// The machine that a token's path runs on, and the same schedule on the machine of another
// protocol.

import type { Model } from '../../machine/sim/model.js';
import { findProposal, proposalOf } from '../../zoo/index.js';
import { PROPERTIES, type PropertyName } from '../properties.js';
import { build, shapeOf } from '../search/build.js';
import type { Choice } from '../search/expand.js';
import { unsorted, type Shape } from '../search/state.js';
import { perform, scheduleOf } from './schedule.js';
import type { Token } from './token.js';
import { trace, type Trace } from './trace.js';

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

export type Checked = ReturnType<typeof findProposal>;

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
