// The benchmark: what it runs, in which order, and on what. The figures are made by calls, updates,
// objects and checking; here is only what they share.

import { readFileSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';
import { TemporaryFolder } from '../base/folder.js';
import { openNative, type Native } from '../machine/linux/native.js';
import { measureBranches } from './branches.js';
import { measureBatches } from './batches.js';
import { measureCalls } from './calls.js';
import { measureChecking } from './checking.js';
import { distance } from '../host/litmus.js';
import { loadDriver, type Driver } from './driver.js';
import { measureCompiling } from './compiling.js';
import { measureObjects } from './objects.js';
import { measureOutside } from './outside.js';
import { GROUPS, type BenchResult, type GroupName, type Machine, type Table } from './result.js';
import { versionOf, Workshop, type Environment } from './tools.js';
import { APART, measureUpdates, type UpdateGroup, type UpdatesOptions } from './updates.js';
import { startXray, type Xray } from './xray.js';

export interface BenchOptions {
  readonly only: readonly GroupName[];
  /** Of measuring, all groups together; building what is measured comes on top. */
  readonly seconds: number;
  /** Smaller programs: a look, or a test. */
  readonly quick: boolean;
  readonly env: Environment;
  readonly signal: AbortSignal;
  readonly onProgress: (what: string) => void;
  /** The effects of the updates that are measured: for a test that slows them. */
  readonly native?: Native;
}

/** Functions that XRay patches, and the number of sites that it is held against. */
const XRAY = 10_000;
/** Sites of a large key, and keys of one site, that are updated at once. */
const SEVERAL = {
  quick: { large: 1000, keys: 100 },
  whole: { large: 10_000, keys: 10_000 },
} as const;
const SIZES = { quick: [1, 10, 1000], whole: [1, 10, 1000, XRAY, 100_000, 1_000_000] } as const;
/**
 * Of measuring: with what is built, a run takes less than two minutes on two CPUs that do nothing
 * else.
 */
export const SECONDS = { quick: 3, whole: 45 } as const;
/** Shares of the time. */
const SHARES = { call: 0.18, update: 0.58, outside: 0.1, objects: 0.05, check: 0.09 } as const;

async function describe(workshop: Workshop, env: Environment): Promise<Machine> {
  const read = (path: string): string => {
    try {
      return readFileSync(path, 'latin1');
    } catch {
      return '';
    }
  };
  const [compiler = ''] = workshop.compiler;
  const [load = 0] = loadavg();
  return {
    cpu: /^model name\s*:\s*(.*)$/m.exec(read('/proc/cpuinfo'))?.[1] ?? 'unknown',
    cpus: cpus().length,
    kernel: release(),
    node: process.versions.node,
    compiler: versionOf(compiler, env) ?? compiler,
    hypervisor: /^flags.*\bhypervisor\b/m.test(read('/proc/cpuinfo')),
    load,
    distance: await distance(),
    date: new Date().toISOString(),
  };
}

type Share = keyof typeof SHARES;
const UPDATES: ReadonlySet<GroupName> = new Set([
  'update',
  'pause',
  'trap',
] satisfies UpdateGroup[]);
const isUpdate = (group: GroupName): group is UpdateGroup => UPDATES.has(group);
const shareOf = (group: GroupName): Share => (isUpdate(group) ? 'update' : group);

/** Milliseconds for what is wanted, out of all seconds. */
function budgetOf(only: readonly GroupName[], seconds: number): (share: Share) => number {
  const wanted = new Set(only.map(shareOf));
  const whole = [...wanted].reduce((sum, share) => sum + SHARES[share], 0);
  return (share) => (seconds * 1000 * SHARES[share]) / whole;
}

/** @throws Fault `no-compiler`, `compile-failed`, `not-supported`, what `open` throws */
export async function runBench(options: BenchOptions): Promise<BenchResult> {
  const { only, quick, env } = options;
  const began = performance.now();
  await using folder = new TemporaryFolder('static-call-bench-');
  const native = openNative();
  const workshop = new Workshop(folder.path, env);
  const machine = await describe(workshop, env);
  options.onProgress('building');
  const driver = loadDriver(native, workshop);
  const xray =
    !quick && (only.includes('call') || only.includes('update'))
      ? startXray(workshop, XRAY, Math.min(1, cpus().length - 1), env)
      : null;
  try {
    // The patcher stays on one CPU, the threads that it patches under on the others.
    driver.pin(0);
    const tables = await measureGroups(options, { native, workshop, driver, xray });
    return {
      machine,
      seconds: Math.round((performance.now() - began) / 100) / 10,
      tables: tables.sort((a, b) => GROUPS.indexOf(a.group) - GROUPS.indexOf(b.group)),
    };
  } finally {
    xray?.end();
  }
}

interface Tools {
  readonly native: Native;
  readonly workshop: Workshop;
  readonly driver: Driver;
  readonly xray: Xray | null;
}

async function measureGroups(options: BenchOptions, tools: Tools): Promise<Table[]> {
  const { only, seconds, quick, env, signal, onProgress } = options;
  const { native, workshop, driver, xray } = tools;
  const budget = budgetOf(only, seconds);
  const tables: Table[] = [];
  if (only.includes('call')) {
    onProgress('calls');
    const each = budget('call') / 2;
    tables.push(...(await measureCalls({ ...tools, budget: each, signal })));
    onProgress('branches');
    tables.push(...(await measureBranches({ ...tools, crate: !quick, budget: each, signal })));
  }
  const groups = new Set(only.filter(isUpdate));
  if (groups.size > 0 && !signal.aborted) {
    onProgress('updates');
    const sections = groups.has('update') ? 4 : 1;
    const updates: UpdatesOptions = {
      native,
      through: options.native ?? native,
      driver,
      workshop,
      xray: groups.has('update') ? xray : null,
      cpus: cpus().length,
      sizes: SIZES[quick ? 'quick' : 'whole'],
      budget: budget('update') / sections,
      signal,
    };
    tables.push(...(await measureUpdates(updates, groups)));
    if (groups.has('update')) {
      const several = { ...updates, ...SEVERAL[quick ? 'quick' : 'whole'], apart: APART };
      tables.push(await measureBatches({ ...several, budget: updates.budget / 4 }));
    }
  }
  if (only.includes('outside') && !signal.aborted) {
    onProgress('updates from outside');
    const { large } = SEVERAL[quick ? 'quick' : 'whole'];
    const outside = { ...tools, sites: large, cpus: cpus().length, signal };
    tables.push(await measureOutside({ ...outside, budget: budget('outside') }));
  }
  if (only.includes('objects') && !signal.aborted) {
    onProgress('objects');
    const objects = { workshop, env, budget: budget('objects') / 2, signal };
    tables.push(...measureObjects(objects));
    // A build has two CPUs for its compiler and what runs beside it.
    driver.release();
    tables.push(measureCompiling(objects));
  }
  if (only.includes('check') && !signal.aborted) {
    onProgress('checking');
    // A search on two threads has nothing to do with any other thread.
    driver.release();
    tables.push(measureChecking({ workshop, env, budget: budget('check'), signal }));
  }
  return tables;
}
