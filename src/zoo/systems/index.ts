// The zoo: every system and proposal with its steps, in the order in which ties are listed.

import { FRESH } from './fresh.js';
import { HOTSPOT } from './hotspot.js';
import { JITS } from './jits.js';
import { LINUX } from './linux.js';
import { THREAD } from '../thread/index.js';
import { PATCHERS } from './patchers.js';
import { V8 } from './v8.js';
import { XRAY } from './xray.js';
import type { System } from '../system.js';

export type { Change, Read, System } from '../system.js';

export const SYSTEMS: readonly System[] = [
  ...HOTSPOT,
  ...V8,
  ...JITS,
  ...FRESH,
  ...XRAY,
  ...PATCHERS,
  ...LINUX,
  ...THREAD,
];
