// A run as plain data: what `--json` prints, what a worker sends, what the library returns.

import { story, trace, type TraceStep } from './trace.js';
import { draw, drawSvg } from './lanes.js';
import type { Choice, Shape } from './expand.js';
import { decodeToken, encodeToken, pathOf, readable, replay } from './replay.js';
import { build, run, shapeOf, type Run, type VerdictWord } from './run.js';
import { findSubject, type Subject } from './subject.js';
import { BOUNDS, type Configuration } from './configuration.js';
import type { Limits } from './explore.js';
import { PROPERTIES, type PropertyName } from './properties.js';

export interface PropertyReport {
  readonly verdict: VerdictWord;
  /** Moves on the shortest path. */
  readonly steps?: number;
  readonly story?: string;
  /** Replays it: `static-call check --path`. */
  readonly path?: string;
  /** Drawn as lanes. */
  readonly picture?: string;
}

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
  readonly parts: Run['parts'];
}

export function report(subject: Subject, configuration: Configuration, limits: Limits): RunReport {
  const done = run(subject, configuration, limits);
  const properties = Object.fromEntries(
    PROPERTIES.map(({ name }) => {
      const verdict = done.properties.get(name) ?? { verdict: 'unknown' as const };
      if (verdict.verdict !== 'fails') return [name, { verdict: verdict.verdict }];
      const of = name === 'after-update-strict' && done.strict !== undefined ? done.strict : done;
      const finding = of.search.findings.get(name);
      if (finding === undefined) return [name, { verdict: 'unknown' }];
      const shape = shapeOf(of.configuration, of.reduce);
      const path = readable(of.model, pathOf(of.model, of.search, finding, shape), name, shape);
      const steps = trace(of.model, path, shape, finding.text);
      const split = of.model.options.grain.split;
      const token = encodeToken({ protocol: subject.name, variant: subject.variant, property: name, configuration: { ...of.configuration, reduce: of.reduce }, split, path });
      return [name, { verdict: 'fails', steps: finding.depth, story: story(steps, finding.text), path: token, picture: draw(steps, shape.cpus) }];
    }),
  ) as Record<PropertyName, PropertyReport>;
  const { reduce: _, offset: __, ...rest } = configuration;
  return {
    protocol: subject.name,
    variant: subject.variant,
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
    parts: done.parts,
  };
}

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
  const { protocol, variant, property, configuration, split, path } = decodeToken(text);
  const subject = findSubject(protocol, variant, configuration.environment);
  const model = build(subject, configuration, { plain: configuration.reduce === 'none', split });
  const shape = shapeOf(configuration, configuration.reduce);
  const end = endOf(model, path, shape, property);
  const steps = trace(model, path, shape, end);
  return { protocol, variant, property, steps, picture: draw(steps, shape.cpus), svg: drawSvg(steps, shape.cpus) };
}

function endOf(model: ReturnType<typeof build>, path: readonly Choice[], shape: Shape, property: string): string | null {
  const last = replay(model, path, shape).at(-1);
  return last?.move?.bad.find((bad) => bad.property === property)?.text ?? null;
}
