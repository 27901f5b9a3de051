// Group 1, continued: what a branch on a static key costs, off and on, beside an empty loop, a jump,
// and the ways that a program has without it. Every way has a loop of its own that lies at the same
// place in its page; a branch's loop is one loop, switched between rounds.

import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { openWith } from '../app/open.js';
import type { Native } from '../machine/linux/native.js';
import type { Driver } from './driver.js';
import { BRANCH_SHAPES, branchesSource, BRANCH_WAYS, type BranchShape } from './programs.js';
import { noiseOf, present, Samples, type Missing, type Row, type Table } from './result.js';
import { loaded, versionOf, type Environment, type Workshop } from './tools.js';

/** Branches of one sample: some tens of microseconds. */
const BRANCHES = 65_536;
/** A sample is the least of these in a row: an interrupt in one does not count. */
const REPEAT = 3;

const SHAPE_NAMES = Object.keys(BRANCH_SHAPES) as BranchShape[];
const WAY_NAMES = Object.keys(BRANCH_WAYS) as (keyof typeof BRANCH_WAYS)[];

export interface BranchesOptions {
  readonly native: Native;
  readonly driver: Driver;
  readonly workshop: Workshop;
  /** Whether the crate may be fetched and built. */
  readonly crate: boolean;
  /** Milliseconds. */
  readonly budget: number;
  readonly signal: AbortSignal;
}

export async function measureBranches(options: BranchesOptions): Promise<Table[]> {
  const { native, driver, workshop, budget, signal } = options;
  const path = workshop.shared('branches', workshop.write('branches.c', branchesSource()));
  const symbol = loaded(native, path);
  const flag = native.library(path)<(on: number) => void>('void bench_set(int)');
  const crate = options.crate ? crateOf(native, workshop) : null;
  const loops = SHAPE_NAMES.flatMap((shape) =>
    WAY_NAMES.map((way) => ({
      id: `branch-${shape}/${way}`,
      shape,
      at: symbol(`bench_${shape}_${way}`.replaceAll('-', '_')),
    })),
  );
  const samples = new Samples();
  const end = performance.now() + budget;
  for (let round = 0; round < 5 || (performance.now() < end && !signal.aborted); round++) {
    const app = openWith(native, path, {});
    try {
      for (const on of [false, true]) {
        app.update({ bench_switch: on });
        flag(Number(on));
        crate?.set(on);
        const state = on ? 'on' : 'off';
        const turn = (round * 5) % loops.length;
        for (const { id, shape, at } of [...loops.slice(turn), ...loops.slice(0, turn)]) {
          const { branches } = BRANCH_SHAPES[shape];
          const iterations = Math.max(1, Math.round(BRANCHES / branches));
          let least = Infinity;
          for (let k = 0; k < REPEAT; k++) least = Math.min(least, driver.loop(at, iterations));
          samples.add(`${id}/${state}`, least / (iterations * branches));
        }
        if (crate)
          samples.add(`branch-tight/crate/${state}`, driver.loop(crate.loop, BRANCHES) / BRANCHES);
      }
    } finally {
      app.close();
    }
    // For a signal, which is delivered between two turns of the loop.
    await setImmediate();
  }
  return SHAPE_NAMES.map((shape) => branchTable(samples, shape, crate !== null));
}

function branchTable(samples: Samples, shape: BranchShape, crate: boolean): Table {
  const off = (way: string, name: string, ours = false): Row | null =>
    samples.row(`branch-${shape}/${way}/off`, name, { to: `branch-${shape}/empty/off`, ours });
  const on = (way: string, name: string, ours = false): Row | null =>
    samples.row(`branch-${shape}/${way}/on`, name, { to: `branch-${shape}/jump/on`, ours });
  const tight = shape === 'tight';
  return {
    group: 'call',
    title: `A branch: ${BRANCH_SHAPES[shape].name}`,
    about:
      'Nanoseconds for one branch with the loop around it. What is off is held against ' +
      `${BRANCH_SHAPES[shape].empty}, what is on against a direct jump, of the same round.`,
    noise: noiseOf(samples, [
      [`branch-${shape}/empty/off`, `branch-${shape}/copy/off`],
      [`branch-${shape}/jump/on`, `branch-${shape}/jump-copy/on`],
    ]),
    rows: present([
      off('empty', BRANCH_SHAPES[shape].empty),
      off('static', 'static key, off', true),
      off('flag', 'test of a flag, off'),
      off('atomic', 'atomic load (acquire) and test, off'),
      tight ? off('crate', 'static-keys (Rust), off') : null,
      on('jump', 'direct jump'),
      on('static', 'static key, on', true),
      on('flag', 'test of a flag, on'),
      on('atomic', 'atomic load (acquire) and test, on'),
      tight ? on('crate', 'static-keys (Rust), on') : null,
    ]),
    missing: tight && !crate ? [CRATE_MISSING] : [],
  };
}

const CRATE_VERSION = '0.8.1';
const CRATE_MISSING: Missing = {
  what: `static-keys ${CRATE_VERSION}`,
  why: 'needs cargo with Rust 1.87 or later, and the registry crates.io; a quick run leaves it out',
};
const CARGO_WITHIN_MS = 120_000;

interface Crate {
  readonly loop: number;
  set(on: boolean): void;
}

const MANIFEST = `[package]
name = "bench_static_keys"
version = "0.1.0"
edition = "2021"
[lib]
crate-type = ["cdylib"]
[dependencies]
static-keys = "=${CRATE_VERSION}"
`;
const SOURCE = `use static_keys::{define_static_key_false, static_branch_unlikely};
define_static_key_false!(KEY);
#[no_mangle]
pub extern "C" fn bench_crate_init() { static_keys::global_init(); }
#[no_mangle]
pub extern "C" fn bench_crate_set(on: i32) {
    unsafe { if on != 0 { KEY.enable() } else { KEY.disable() } }
}
#[no_mangle]
pub extern "C" fn bench_crate_loop(mut n: u64) {
    while n != 0 {
        if static_branch_unlikely!(KEY) { unsafe { std::arch::asm!("") } }
        n -= 1;
        unsafe { std::arch::asm!("", inout("rax") n) };
    }
}
`;

/** null where cargo is missing, or cannot fetch or build the crate. */
function crateOf(native: Native, workshop: Workshop): Crate | null {
  const { env } = workshop;
  const cargo = cargoOf(env);
  if (cargo === null) return null;
  const folder = join(workshop.folder, 'crate');
  mkdirSync(join(folder, 'src'), { recursive: true });
  const manifest = workshop.write('crate/Cargo.toml', MANIFEST);
  workshop.write('crate/src/lib.rs', SOURCE);
  const done = spawnSync(cargo, ['build', '--release', '--manifest-path', manifest], {
    env,
    stdio: 'ignore',
    timeout: CARGO_WITHIN_MS,
  });
  if (done.status !== 0) return null;
  const path = join(folder, 'target', 'release', 'libbench_static_keys.so');
  const handle = native.load(path);
  const library = native.library(path);
  library<() => void>('void bench_crate_init()')();
  const set = library<(on: number) => void>('void bench_crate_set(int)');
  return {
    loop: native.symbol(handle, 'bench_crate_loop'),
    set: (on) => set(Number(on)),
  };
}

/** rustup installs beside the home folder, and does not always extend the path. */
function cargoOf(env: Environment): string | null {
  const candidates = ['cargo', ...(env['HOME'] ? [join(env['HOME'], '.cargo/bin/cargo')] : [])];
  return candidates.find((name) => versionOf(name, env) !== null) ?? null;
}
