// The benchmark: what it runs, in which order, and on what. The figures are made by calls, updates,
// objects and checking; here is only what they share.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { openNative, type Native } from '../machine/linux/native.js';
import { measureCalls } from './calls.js';
import { measureChecking } from './checking.js';
import { loadDriver } from './driver.js';
import { measureObjects } from './objects.js';
import { GROUPS, type BenchResult, type GroupName, type Machine, type Table } from './result.js';
import { versionOf, Workshop, type Environment } from './tools.js';
import { measureUpdates, type UpdateGroup } from './updates.js';
import { startXray } from './xray.js';

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
const SIZES = { quick: [1, 10, 1000], whole: [1, 10, 1000, XRAY, 100_000, 1_000_000] } as const;
/**
 * Of measuring: with what is built, a run takes less than two minutes on two CPUs that do nothing
 * else.
 */
export const SECONDS = { quick: 3, whole: 45 } as const;
/** Shares of the time. */
const SHARES: Readonly<Record<'call' | 'update' | 'objects' | 'check', number>> = {
  call: 0.2,
  update: 0.65,
  objects: 0.05,
  check: 0.1,
};

function describe(workshop: Workshop, env: Environment): Machine {
  const read = (path: string): string => {
    try {
      return readFileSync(path, 'latin1');
    } catch {
      return '';
    }
  };
  return {
    cpu: /^model name\s*:\s*(.*)$/m.exec(read('/proc/cpuinfo'))?.[1] ?? 'unknown',
    cpus: cpus().length,
    kernel: release(),
    node: process.versions.node,
    compiler: versionOf(workshop.compiler[0]!, env) ?? workshop.compiler[0]!,
    hypervisor: /^flags.*\bhypervisor\b/m.test(read('/proc/cpuinfo')),
    load: loadavg()[0]!,
    date: new Date().toISOString(),
  };
}

/** @throws Fault `no-compiler`, `compile-failed`, `not-supported`, what `open` throws */
export async function runBench(options: BenchOptions): Promise<BenchResult> {
  const { only, seconds, quick, env, signal, onProgress } = options;
  const began = performance.now();
  const folder = mkdtempSync(join(tmpdir(), 'static-call-bench-'));
  const wants = (...groups: readonly GroupName[]): boolean =>
    groups.some((group) => only.includes(group));
  const wanted = (Object.keys(SHARES) as (keyof typeof SHARES)[]).filter((share) =>
    share === 'update' ? wants('update', 'pause', 'trap') : wants(share),
  );
  const whole = wanted.reduce((sum, share) => sum + SHARES[share], 0);
  const budget = (share: keyof typeof SHARES): number => (seconds * 1000 * SHARES[share]) / whole;
  const native = openNative();
  try {
    const workshop = new Workshop(folder, env);
    const machine = describe(workshop, env);
    const tables: Table[] = [];
    onProgress('building');
    const driver = loadDriver(native, workshop);
    const count = cpus().length;
    const xray =
      !quick && wants('call', 'update')
        ? startXray(workshop, XRAY, Math.min(1, count - 1), env)
        : null;
    try {
      // The patcher stays on one CPU, the threads that it patches under on the others.
      driver.pin(0);
      if (wants('call')) {
        onProgress('calls');
        tables.push(
          ...(await measureCalls({
            native,
            driver,
            workshop,
            xray,
            budget: budget('call'),
            signal,
          })),
        );
      }
      const groups = new Set(
        only.filter(
          (group): group is UpdateGroup =>
            group === 'update' || group === 'pause' || group === 'trap',
        ),
      );
      if (groups.size > 0 && !signal.aborted) {
        onProgress('updates');
        const sections = groups.has('update') ? 4 : 1;
        const sizes = SIZES[quick ? 'quick' : 'whole'];
        tables.push(
          ...(await measureUpdates(
            {
              native,
              through: options.native ?? native,
              driver,
              workshop,
              xray: groups.has('update') ? xray : null,
              cpus: count,
              sizes,
              budget: budget('update') / sections,
              signal,
            },
            groups,
          )),
        );
      }
      if (wants('objects') && !signal.aborted) {
        onProgress('objects');
        tables.push(...measureObjects({ workshop, env, budget: budget('objects'), signal }));
      }
      if (wants('check') && !signal.aborted) {
        onProgress('checking');
        tables.push(measureChecking({ workshop, env, budget: budget('check'), signal }));
      }
    } finally {
      xray?.end();
    }
    return {
      machine,
      seconds: Math.round((performance.now() - began) / 100) / 10,
      tables: tables.sort((a, b) => GROUPS.indexOf(a.group) - GROUPS.indexOf(b.group)),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
