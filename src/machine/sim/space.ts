// Where everything lies in the simulated machine, and which of it is whose. Four kinds of memory,
// by what may see it:
//
//   code     never written, or written by the patcher only (text.ts has its versions)
//   shared   the protocol's tables: the patcher writes them, any CPU may read or write them
//   private  stacks and the per-CPU area: only one CPU at a time touches them, so they are part of
//            its own state
//   sink     counters that no step of any configuration reads: stores vanish, so that states close
//
// The addresses are those of a real kernel or process, so that displacements, sign extension and
// canonicality are what the code will meet.

import type { Addr } from '../../base/addr.js';
import { invariant } from '../../base/invariant.js';
import { PERCPU } from '../../trap/kernel.js';
import type { FixtureOptions } from './options.js';
import type { Environment } from './settings.js';

/** A store to a word of the shared data. */
export interface Write {
  readonly word: number;
  readonly value: bigint;
}

export interface Shared {
  readonly at: Addr;
  readonly initial: readonly bigint[];
  /** Word numbers that some step or handler of the configuration writes. */
  readonly mutable: ReadonlySet<number>;
  readonly sink: ReadonlySet<number>;
  /** Words whose reading by a handler is the begin of the emulated call. */
  readonly targets: ReadonlySet<number>;
  /** By word that describes one site at a time: by site, the values that describe it. */
  readonly globals: ReadonlyMap<number, readonly ReadonlySet<bigint>[]>;
}

/**
 * `stack`: dead below the stack pointer. `percpu`: seen by every context of the CPU. `shadow`: a
 * shadow stack.
 */
type RegionKind = 'stack' | 'percpu' | 'shadow';

/** A stretch of private memory. */
export interface Region {
  readonly name: string;
  readonly kind: RegionKind;
  readonly at: Addr;
  readonly bytes: number;
  /** Index of its first word in the private image. */
  readonly first: number;
}

export interface Space {
  readonly text: Addr;
  readonly data: Addr;
  readonly stack: Addr;
  readonly stackBytes: number;
  readonly percpu: Addr;
  /** Stacks of the events that bring their own, and of those the shadow stacks. */
  readonly ist: Addr;
  readonly shadow: Addr;
}

export const SPACES: Readonly<Record<Environment, Space>> = {
  kernel: {
    text: -0x7f000000,
    data: -0x7e000000,
    stack: -0x36ffffff8000,
    stackBytes: 1024,
    percpu: -0x77fffff00000,
    ist: -0x1ffffffe000,
    shadow: -0x36ffffff0000,
  },
  user: {
    text: 0x401000,
    data: 0x600000,
    stack: 0x7ffc00000000,
    stackBytes: 4096,
    percpu: 0,
    ist: 0,
    shadow: 0x7ff700000000,
  },
};

const IST_BYTES = 512;
const SHADOW_BYTES = 256;
const IST_STRIDE = 0x1000;

/** An event with a stack of its own, and how deeply it nests in its like. */
const IST_NAMES = ['nmi0', 'nmi1', 'mc0', 'db0'] as const;

function istNumber(kind: string, level: number): number {
  const number = IST_NAMES.findIndex((name) => name === `${kind}${level}`);
  invariant(number >= 0, `${kind} has no stack for level ${level}`);
  return number;
}

/** Top of the stack that an event brings. */
export const istTop = (space: Space, kind: string, level: number): Addr =>
  space.ist + istNumber(kind, level) * IST_STRIDE + IST_BYTES;
export const shadowIstTop = (space: Space, kind: string, level: number): Addr =>
  space.shadow + (1 + istNumber(kind, level)) * IST_STRIDE + SHADOW_BYTES;

/** The private memory of a CPU and its task. */
export function regionsOf({
  environment,
  events,
  shadowStacks,
}: Pick<FixtureOptions, 'environment' | 'events' | 'shadowStacks'>): readonly Region[] {
  const space = SPACES[environment];
  const list: Omit<Region, 'first'>[] = [
    { name: 'stack', kind: 'stack', at: space.stack, bytes: space.stackBytes },
  ];
  if (environment === 'kernel') {
    list.push({ name: 'percpu', kind: 'percpu', at: space.percpu, bytes: PERCPU.size });
    const ists = IST_NAMES.filter(
      (name) =>
        (events.nmi && name.startsWith('nmi')) ||
        (events.mc && name === 'mc0') ||
        (events.db && name === 'db0'),
    );
    const stackOf = (name: (typeof IST_NAMES)[number]) =>
      space.ist + IST_NAMES.indexOf(name) * IST_STRIDE;
    const shadowOf = (name: (typeof IST_NAMES)[number]) =>
      space.shadow + (1 + IST_NAMES.indexOf(name)) * IST_STRIDE;
    for (const name of ists)
      list.push({ name, kind: 'stack', at: stackOf(name), bytes: IST_BYTES });
    for (const name of shadowStacks ? ists : [])
      list.push({
        name: `shadow.${name}`,
        kind: 'shadow',
        at: shadowOf(name),
        bytes: SHADOW_BYTES,
      });
  }
  if (shadowStacks)
    list.push({ name: 'shadow', kind: 'shadow', at: space.shadow, bytes: SHADOW_BYTES });
  let first = 0;
  return list.map((region) => {
    const placed = { ...region, first };
    first += region.bytes / 8;
    return placed;
  });
}

/** How many words of private memory there are. */
export function wordsOf(regions: readonly Region[]): number {
  const last = regions.at(-1);
  return last === undefined ? 0 : last.first + last.bytes / 8;
}
