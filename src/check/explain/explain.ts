// What a failure looks like, made on demand from a verdict: a second search for a path that reads
// well (shorten.ts), the path in words and as a token.

import { INTERRUPTED, type Finding } from '../search/explore.js';
import type { Run } from '../search/run.js';
import { shapeOf } from '../search/build.js';
import { unsorted } from '../search/state.js';
import type { PropertyName } from '../properties.js';
import { PROPOSALS } from '../../zoo/index.js';
import { violationOf } from './judge.js';
import { SECOND_PASS_MAX, shorten } from './shorten.js';
import { draw, story } from './timeline.js';
import { encodeToken } from './token.js';
import { trace } from './trace.js';

export interface Explanation {
  /** Moves on the path that is drawn. */
  readonly steps: number;
  readonly story: string;
  /** Replays it: `static-call check --path`. */
  readonly path: string;
  readonly picture: string;
}

/** Null where the search did not find the property violated. */
export function explain(verdict: Run, property: PropertyName): Explanation | null {
  const run =
    property === 'after-update-strict' && verdict.strict !== undefined ? verdict.strict : verdict;
  const { proposal, reduce } = run;
  const { model, search } = run.found.get(property) ?? run;
  const finding = search.findings.get(property);
  if (finding === undefined) return null;
  const configuration = { ...run.configuration, reduce };
  const shape = unsorted(shapeOf(configuration, reduce));
  // A user who interrupts a search does not want to wait for another one.
  const most = verdict.stopped === INTERRUPTED ? 0 : SECOND_PASS_MAX;
  const { path } = shorten(model, search, finding, shape, most);
  const text = textOf(model, finding, path, shape);
  const drawn = trace(model, path, shape, `${property}: ${text}`);
  const token = encodeToken({
    protocol: proposal.name,
    variant: proposal.variant,
    property,
    configuration,
    split: model.options.grain.split,
    own: PROPOSALS.includes(proposal) ? null : proposal.protocol,
    path,
  });
  return { steps: path.length, story: story(drawn, text), path: token, picture: draw(drawn) };
}

/** The path may end in another step than the search's, which breaks the property in other words. */
function textOf(
  model: Parameters<typeof violationOf>[0],
  { property, text }: Finding,
  path: Parameters<typeof violationOf>[1],
  shape: Parameters<typeof violationOf>[2],
): string {
  const found = violationOf(model, path, shape, property);
  return found?.property === property ? found.text : text;
}
