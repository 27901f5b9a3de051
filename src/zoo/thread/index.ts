// Proposals of the thread of 2018 and 2019, and of the one about ftrace that followed, a file each.

import { acknowledgeMask } from './acknowledge-mask.js';
import { alignedCalls } from './aligned-calls.js';
import { boundedSpin } from './bounded-spin.js';
import { constantThunk } from './constant-thunk.js';
import { lineCalls } from './line-calls.js';
import { longjmp } from './longjmp.js';
import { movedRegs } from './moved-regs.js';
import { pendingStack } from './pending-stack.js';
import { percpuPages } from './percpu-pages.js';
import { prefixInt3 } from './prefix-int3.js';
import { raxReturn } from './rax-return.js';

export const THREAD = [
  prefixInt3,
  alignedCalls,
  lineCalls,
  longjmp,
  percpuPages,
  constantThunk,
  raxReturn,
  pendingStack,
  movedRegs,
  boundedSpin,
  acknowledgeMask,
];
