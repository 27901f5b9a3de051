// The protocols that a process runs. `naive` is beside them to be checked and soaked, and is not
// offered.

import type { Protocol } from '../protocol.js';
import { auto } from './auto.js';
import { int3 } from './int3.js';
import { store } from './store.js';

export const RUNNABLE = { auto, int3, store } as const satisfies Readonly<Record<string, Protocol>>;
export type ProtocolName = keyof typeof RUNNABLE;
/** Of `open`, unless it is told otherwise. */
export const DEFAULT_PROTOCOL: ProtocolName = 'auto';
export const PROTOCOL_NAMES = Object.keys(RUNNABLE) as readonly ProtocolName[];

export const isProtocolName = (name: string): name is ProtocolName => Object.hasOwn(RUNNABLE, name);

/** How many synchronisations an update waits for. */
export const syncsOf = ({ steps }: Protocol): number =>
  steps.filter((step) => step.do === 'sync').length;
