// What the end of a path violates, from the path alone: a search found it once, and a token that
// claims it may come from anywhere. A broken promise is on the last step. A deadlock or a livelock
// is a matter of what follows, so a little of that is explored again.

import type { Model } from '../../machine/sim/model.js';
import type { PropertyName } from '../properties.js';
import type { Choice } from '../search/expand.js';
import { aimsOf, type Aim } from '../search/aims.js';
import { LANES, cpuLane, patcherLane, walkCycle } from '../search/lasso.js';
import { choices, initial, replay, type Replayed } from '../search/path.js';
import { cpuOf, environmentOf, patcherOf, runnersOf, type Shape } from '../search/state.js';
import { describe } from './trace.js';

export interface Violation {
  readonly property: PropertyName;
  readonly text: string;
}

/**
 * What the end violates: of that property, else what it violates first; undefined where nothing.
 * Several promises may be broken by one step.
 */
export function violationOf(
  model: Model,
  path: readonly Choice[],
  shape: Shape,
  property: string,
): Violation | undefined {
  const steps = replay(model, path, shape);
  const broken = steps.at(-1)?.move?.bad ?? [];
  const asked = (each: Violation) => each.property === property;
  const found = broken.find(asked);
  if (found !== undefined) return found;
  const follows = whatFollows(model, path, steps, shape);
  return follows.find(asked) ?? broken[0] ?? follows[0];
}

/** What only the states behind the path can tell: that they are stuck, or go round for ever. */
function whatFollows(
  model: Model,
  path: readonly Choice[],
  steps: readonly Replayed[],
  shape: Shape,
): readonly Violation[] {
  if (steps.at(-1)?.after === null) return [];
  const states = [initial(model, shape), ...steps.flatMap(({ after }) => after ?? [])];
  const last = states.at(-1);
  if (last === undefined) return [];
  const out = aimsOf(model, shape).find((aim) => isOutOfReach(model, last, shape, aim));
  if (out !== undefined)
    return [{ property: 'deadlock', text: `${out.missing}: ${standing(model, last, shape)}` }];
  // The path of a livelock ends with once around its cycle.
  const key = last.join();
  const entered = states.findIndex((state) => state.join() === key);
  if (entered === states.length - 1) return [];
  const inside = new Set(states.slice(entered).map((state) => state.join()));
  const lasso = walkCycle(model, shape, last, (state) => inside.has(state.join()));
  if (lasso === null || lasso === 'too many') return [];
  return [{ property: 'livelock', text: cycleText(path.slice(entered)) }];
}

/** What is said of a livelock, by those that move in its cycle. */
function cycleText(cycle: readonly Choice[]): string {
  const movers = [...new Set(cycle.map(({ who }) => who))]
    .sort((a, b) => a - b)
    .map((who) => (who < 0 ? 'the patcher' : `CPU ${who}`));
  const loop =
    movers.length === 1
      ? `${movers.join('')} loops by itself`
      : `${movers.join(' and ')} loop, each in turn`;
  return `${loop}, forever, without completing a call or an update, although an end stays in reach`;
}

/** States that may follow a deadlock: few, because nothing ends there. */
const STUCK_MAX = 150_000;

/** From this state no move leads to the aim any more. */
function isOutOfReach(model: Model, from: Int32Array, shape: Shape, aim: Aim): boolean {
  const seen = new Set([from.join()]);
  // Depth first, which reaches an end soon where there is one.
  const open = [from];
  for (let state = open.pop(); state !== undefined; state = open.pop()) {
    if (seen.size > STUCK_MAX || aim.in?.(state) === true) return false;
    if (aim.name === 'end' && hasEnded(model, state)) return false;
    for (const made of choices(model, state, shape)) {
      const { after } = made;
      const kind = kindOf(made);
      // A path that a violation ends is held against no aim.
      if (after === null || aim.by(kind)) return false;
      const key = after.join();
      if (seen.has(key) || !aim.over(kind)) continue;
      seen.add(key);
      open.push(after);
    }
  }
  return true;
}

function kindOf({ choice, move, patcher }: Replayed): number {
  if (patcher !== null) return patcherLane(patcher);
  return move === null ? LANES.switch : cpuLane(move.action, choice.who);
}

function hasEnded(model: Model, state: Int32Array): boolean {
  for (let i = 0; i < runnersOf(state); i++) if (!model.isDone(cpuOf(state, i))) return false;
  return model.patcherDone(patcherOf(state));
}

/** Where the patcher and the CPUs wait that will not get any further. */
function standing(model: Model, state: Int32Array, shape: Shape): string {
  const environment = environmentOf(state);
  const patcher = model.patcherDone(patcherOf(state))
    ? []
    : model
        .patcherMoves(patcherOf(state), environment)
        .map(({ op }) => `the patcher waits at «${describe(model, op)}»`);
  const cpus = Array.from({ length: shape.cpus }, (_, i) => i).flatMap((i) => {
    const cpu = cpuOf(state, i);
    const { done, rip, context, interruptible } = model.nodeOf(cpu);
    if (done) return [];
    const row = model.moves(cpu, environment);
    const does = model.table.first(row) === model.table.end(row) ? 'is stuck' : 'loops';
    const inside = context === 'task' ? '' : ` (${context})`;
    const masked =
      model.fixture.environment === 'kernel' && !interruptible ? ' with interrupts off' : '';
    return [`CPU ${i} ${does} at ${model.fixture.nameOf(rip)}${inside}${masked}`];
  });
  return [...patcher, ...cpus].join('; ');
}
