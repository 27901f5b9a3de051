// The public door: what a program imports. It loads neither the decoder nor the FFI.
export { Fault, isFault, type FaultCode } from './base/fault.js';
