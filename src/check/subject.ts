// What is checked: a protocol with its trap handler, in one of the environments it is made for.

import type { Protocol } from '../plan/protocol.js';
import { int3 } from '../plan/protocols/int3.js';
import { naive } from '../plan/protocols/naive.js';
import { store } from '../plan/protocols/store.js';
import { int3Kernel, int3KernelPermanent } from '../plan/protocols/int3-kernel.js';
import type { Code } from '../trap/assembler.js';
import { gap } from '../trap/gap.js';
import type { Entry, KernelHandler } from '../trap/kernel.js';
import { sigtrap } from '../trap/sigtrap.js';
import type { Environment } from '../machine/sim/scene.js';

export interface Subject {
  readonly name: string;
  /** Empty for the protocol as proposed. */
  readonly variant: string;
  readonly environment: Environment;
  readonly protocol: Protocol;
  readonly kernelHandler: ((entry: Entry) => KernelHandler) | null;
  readonly userHandler: (() => Code) | null;
  /** Traps are claimed only between publish and retire. */
  readonly tornDown: boolean;
}

const none = { kernelHandler: null, userHandler: null, tornDown: false };

export const SUBJECTS: readonly Subject[] = [
  { name: 'naive', variant: '', environment: 'kernel', protocol: naive, ...none },
  { name: 'naive', variant: '', environment: 'user', protocol: naive, ...none },
  { name: 'store', variant: '', environment: 'kernel', protocol: store, ...none },
  { name: 'store', variant: '', environment: 'user', protocol: store, ...none },
  { name: 'int3-gap', variant: '', environment: 'kernel', protocol: int3Kernel, kernelHandler: (entry) => gap({ gap: 6, entry }), userHandler: null, tornDown: true },
  { name: 'int3-gap', variant: 'permanent', environment: 'kernel', protocol: int3KernelPermanent, kernelHandler: (entry) => gap({ gap: 6, entry }), userHandler: null, tornDown: false },
  { name: 'int3-gap', variant: 'no-gap', environment: 'kernel', protocol: int3Kernel, kernelHandler: (entry) => gap({ gap: 0, entry }), userHandler: null, tornDown: true },
  { name: 'int3', variant: '', environment: 'user', protocol: int3, kernelHandler: null, userHandler: sigtrap, tornDown: false },
];
