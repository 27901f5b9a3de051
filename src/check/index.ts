// The checker as a library: `import { check } from 'static-call/check'`. It patches nothing and
// needs no particular system.

export { Fault, isFault } from '../base/fault.js';
export {
  CONTEXT_NAMES,
  REDUCTIONS,
  BOUNDS,
  type Configuration,
  type ContextName,
  type Reduction,
} from './configuration.js';
export { PROPERTIES, PROPERTY_NAMES, type PropertyName } from './properties.js';
export { replayToken, replayUnder } from './explain/replay.js';
export type { PathReport } from './result.js';
export type { PropertyReport, RunReport } from './result.js';
export type { Acceptance, Protocol, Step } from '../plan/protocol.js';

export {
  ladder,
  RUNGS,
  type Ladder,
  type LadderRow,
  type Rung,
  type Standing,
} from './ask/ladder.js';
export { zooPage } from './ask/zoo-page.js';
export { check, checkDocument, checkMatrix, protocols, type CheckReport } from './ask/check.js';
export type { CheckOptions } from './ask/asked.js';
