// The public door: what a program imports. It loads neither the decoder nor the FFI; `open` does,
// when it runs.

export { Fault, isFault, type FaultCode } from './base/fault.js';
export { counted, type Counted } from './app/counted.js';
export { attach, open } from './app/index.js';
export { target, unchecked } from './app/wanted.js';
export type {
  App,
  AttachOptions,
  Attached,
  Drift,
  FunctionTarget,
  Key,
  Keys,
  OpenOptions,
  SiteReport,
  Trace,
  Unchecked,
  Update,
  UpdateOptions,
} from './app/types.js';
export type { Protocol, Step } from './plan/protocol.js';
