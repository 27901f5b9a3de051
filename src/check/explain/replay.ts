// A path that was pasted: followed, judged anew and drawn. Of what the token claims only the
// protocol, the configuration and the choices are used; what they come to is computed here.

import { Fault } from '../../base/fault.js';
import { type PropertyName } from '../properties.js';
import { violationOf } from './judge.js';
import { drawSvg, type Panel } from './svg.js';
import { draw } from './timeline.js';
import { decodeToken } from './token.js';
import { trace, type Trace } from './trace.js';
import { machineOf, performUnder, proposalIn, type Checked } from './followed.js';
import type { PathReport } from '../result.js';

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
