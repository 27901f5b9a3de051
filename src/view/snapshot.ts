// A state of the model as a person looks at it: the bytes of the site with their versions, where
// every CPU stands and what it may still fetch, its registers and stack, the table.

import { INT3 } from '../asm/table.js';
import type { Model } from '../machine/sim/model.js';
import { FLAG, REG } from '../machine/sim/cpu.js';
import type { Fixture } from '../machine/sim/fixture.js';
import { TARGETS } from '../machine/sim/settings.js';
import { cpuOf, environmentOf, patcherOf, type Shape } from '../check/search/state.js';
import { describe } from '../check/explain/trace.js';

/**
 * Which instruction a byte belongs to: the number of a version of the site (0 is the old one),
 * `trap`, `same` where all versions have it there, or `other`.
 */
export type World = number | 'trap' | 'same' | 'other';

export interface Byte {
  readonly value: number;
  readonly world: World;
}

/** A byte of the site. */
export interface Cell extends Byte {
  /** `f+1`. */
  readonly name: string;
}

export interface Word {
  readonly name: string;
  readonly value: string;
}

export interface CpuSnapshot {
  readonly who: number;
  /** Where it stands, by the fixture's names. */
  readonly at: string;
  /** What runs there: `task`, or what interrupted it. */
  readonly context: string;
  readonly interrupts: boolean;
  readonly done: boolean;
  /** For each byte of the site, the values that it may still fetch, the newest last. */
  readonly may: readonly (readonly Byte[])[];
  /** Bytes that it has fetched and not yet executed. */
  readonly fetched: readonly Byte[] | null;
  readonly registers: readonly Word[];
  /** From the top. */
  readonly stack: readonly Word[];
}

export interface Snapshot {
  readonly site: readonly Cell[];
  readonly cpus: readonly CpuSnapshot[];
  /** What the patcher does next; null where it is done or waits. */
  readonly patcher: string | null;
  /** Targets that a call may reach now. */
  readonly current: readonly string[];
  readonly replaced: readonly string[];
  /** Words of the handler's table that are not zero. */
  readonly table: readonly Word[];
}

/** The versions of the first site, by the updates' targets; empty where no step writes it. */
export interface Version {
  readonly name: string;
  readonly bytes: readonly number[];
}

export function versionsOf({ sites: [site], sequence }: Fixture): readonly Version[] {
  if (site === undefined || !site.patched) return [];
  return site.contents.map((bytes, i) => ({ name: TARGETS[sequence[i] ?? 0] ?? '', bytes }));
}

/** A byte at a place of the site. */
export function worldOf(versions: readonly Version[], place: number, value: number): World {
  const having = versions.flatMap(({ bytes }, i) => (bytes[place] === value ? [i] : []));
  const [first] = having;
  if (first === undefined) return place === 0 && value === INT3 ? 'trap' : 'other';
  return having.length === versions.length && versions.length > 1 ? 'same' : first;
}

export const bytesAs = (versions: readonly Version[], bytes: readonly number[]): Byte[] =>
  bytes.map((value, place) => ({ value, world: worldOf(versions, place, value) }));

/** Of an instruction that was fetched as a whole: the version that it is, or a mixture of them. */
export function wholeOf(versions: readonly Version[], bytes: readonly number[]): World | 'mixture' {
  if (bytes[0] === INT3) return 'trap';
  const whole = versions.findIndex((version) => version.bytes.every((b, i) => b === bytes[i]));
  return whole >= 0 ? whole : 'mixture';
}

const REGISTERS = ['rax', 'rcx', 'rdx', 'r10', 'r11', 'rsp'] as const;
/** Words of the stack that fit beside the rest. */
const STACK_MOST = 8;
const TABLE_MOST = 12;

export function snapshot(model: Model, shape: Shape, state: Int32Array): Snapshot {
  const { fixture } = model;
  const versions = versionsOf(fixture);
  const [site] = fixture.sites;
  const view = model.viewOf(cpuOf(state, 0));
  const shared = model.sharedOf(environmentOf(state));
  const names = (mask: number): string[] => TARGETS.filter((_, i) => (mask >> i) & 1);
  const next = model.patcherMoves(patcherOf(state), environmentOf(state))[0];
  return {
    site: (versions[0]?.bytes ?? []).map((_, i) => {
      const at = (site?.at ?? 0) + i;
      const value = model.memory(view, at);
      return { name: fixture.nameOf(at), value, world: worldOf(versions, i, value) };
    }),
    cpus: Array.from({ length: shape.cpus }, (_, who) => cpuSnapshot(model, state, who)),
    patcher: next === undefined ? null : describe(model, next.op, next.silent),
    current: names(shared.current),
    replaced: names(shared.replaced),
    table: shared.data
      .flatMap((value, i) =>
        value === '0' ? [] : [{ name: `word ${i}`, value: named(fixture, BigInt(value)) }],
      )
      .slice(0, TABLE_MOST),
  };
}

function cpuSnapshot(model: Model, state: Int32Array, who: number): CpuSnapshot {
  const { fixture, core } = model;
  const cpu = cpuOf(state, who);
  const node = model.nodeOf(cpu);
  const versions = versionsOf(fixture);
  const [site] = fixture.sites;
  core.load(node.id);
  return {
    who,
    at: fixture.nameOf(node.rip),
    context: node.context,
    interrupts: (core.cpu.flags & FLAG.if) !== 0,
    done: model.isDone(cpu),
    may: (versions[0]?.bytes ?? []).map((_, place) =>
      model
        .versions(cpu, (site?.at ?? 0) + place)
        .map((value) => ({ value, world: worldOf(versions, place, value) })),
    ),
    fetched: core.pending === null ? null : bytesAs(versions, core.pending),
    registers: REGISTERS.map((name) => ({ name, value: named(fixture, core.cpu.r[REG[name]]) })),
    stack: stackOf(model),
  };
}

/** Of the context that the core has loaded. */
function stackOf({ core, fixture }: Model): Word[] {
  const region = core.memory.region(core.rsp, 8);
  if (region === null) return [];
  const count = Math.min(STACK_MOST, (region.at + region.bytes - core.rsp) / 8);
  return Array.from({ length: Math.max(0, Math.floor(count)) }, (_, i) => ({
    name: i === 0 ? 'rsp' : `rsp+${8 * i}`,
    value: named(fixture, core.memory.read(region, core.rsp + 8 * i, 8)),
  }));
}

/** An address of code by its name, any other number as it is. */
function named(fixture: Fixture, value: bigint): string {
  const at = Number(BigInt.asIntN(64, value));
  if (Number.isSafeInteger(at) && fixture.byte(at) !== undefined) return fixture.nameOf(at);
  return `0x${BigInt.asUintN(64, value).toString(16)}`;
}
