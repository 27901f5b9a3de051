// What is fuzzed: where inputs come from, how they are damaged, and what must hold of the code that
// reads them. A target is
//   name
//   seeds()                valid inputs, made once (may be asynchronous)
//   mutate(seed, random)   a damaged copy
//   run(input)             returns, or throws a Fault; anything else thrown is a finding (may be asynchronous)
// To add one, write its object in a file beside this one and list it here.

import { annotateTarget } from './annotate.mjs';
import { kernelTarget, packedTarget } from './inspect.mjs';
import { memoryTarget } from './memory.mjs';

export const TARGETS = [annotateTarget, kernelTarget, packedTarget, memoryTarget];
