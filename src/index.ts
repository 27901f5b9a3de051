// The public door: what a program imports. It loads neither the decoder nor the FFI; `open` does,
// when it runs.

export { Fault, isFault, type FaultCode } from './base/fault.js';
export { counted, type Counted } from './app/counted.js';
export { attach } from './app/attach.js';
export { open } from './app/open.js';
export { unchecked } from './app/target.js';
export type {
  App,
  AttachOptions,
  Attached,
  Drift,
  Key,
  Keys,
  OpenOptions,
  SiteReport,
  Unchecked,
  Update,
  UpdateOptions,
} from './app/types.js';
export type { Protocol, Step } from './plan/protocol.js';
