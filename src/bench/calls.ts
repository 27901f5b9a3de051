// Group 1: what a call costs, by the way it is made. Every way has a loop of its own that lies at
// the same place in its page; the site's loop is one loop, opened and closed again in each round,
// so that "patched", "trampoline" and "empty" differ in five bytes and in nothing else.

import { setImmediate } from 'node:timers/promises';
import { openWith } from '../app/open.js';
import type { Addr } from '../base/addr.js';
import type { Native } from '../machine/linux/native.js';
import type { Driver } from './driver.js';
import { callsSource, SHAPES, WAYS, type Shape } from './programs.js';
import { noiseOf, present, Samples, type Row, type Table } from './result.js';
import { loaded, type Workshop } from './tools.js';
import { XRAY_MISSING, type Xray } from './xray.js';

/** Calls of one sample: some tens of microseconds, far below a timer tick. */
const CALLS = 32_768;
/** A sample is the least of these in a row: an interrupt in one does not count. */
const REPEAT = 3;

const SHAPE_NAMES = Object.keys(SHAPES) as Shape[];

export interface CallsOptions {
  readonly native: Native;
  readonly driver: Driver;
  readonly workshop: Workshop;
  readonly xray: Xray | null;
  /** Milliseconds. */
  readonly budget: number;
  readonly signal: AbortSignal;
}

export async function measureCalls({
  native,
  driver,
  workshop,
  xray,
  budget,
  signal,
}: CallsOptions): Promise<Table[]> {
  const path = workshop.shared('calls', workshop.write('calls.c', callsSource()));
  const symbol = loaded(native, path);
  const library = native.library(path);
  const mix = library<(mixed: number) => void>('void bench_mix(int)');
  library<(at: Addr) => void>('void bench_aim(int64)')(driver.far());

  const samples = new Samples();
  const { loops, sites, changing } = loopsOf(symbol);
  const measure = (id: string, loop: number, calls: number): void => {
    const iterations = Math.max(1, Math.round(CALLS / calls));
    let least = Infinity;
    for (let k = 0; k < REPEAT; k++) least = Math.min(least, driver.loop(loop, iterations));
    samples.add(id, least / (iterations * calls));
  };
  const asSite = (how: string): void => {
    for (const { id, at, calls } of sites) measure(`${id}/${how}`, at, calls);
  };

  const end = performance.now() + budget;
  for (let round = 0; round < 5 || (performance.now() < end && !signal.aborted); round++) {
    asSite('trampoline');
    // Another order in each round: the first row finds the caches as the last one left them.
    const turn = (round * 7) % loops.length;
    for (const { id, at, calls } of [...loops.slice(turn), ...loops.slice(0, turn)])
      measure(id, at, calls);
    for (const mixed of [0, 1]) {
      mix(mixed);
      measure(mixed ? 'changing/mixed' : 'changing/same', changing, 1);
    }
    const app = openWith(native, path, {});
    try {
      asSite('inline');
      app.update({ bench_key: null });
      asSite('nop');
    } finally {
      app.close();
    }
    if (xray) {
      const [off, on] = await xray.calls(CALLS);
      samples.add('xray/off', off);
      samples.add('xray/on', on);
    }
    // For a signal, which is delivered between two turns of the loop.
    await setImmediate();
  }
  return SHAPE_NAMES.map((shape) => callTable(samples, shape, xray !== null));
}

interface Loop {
  readonly id: string;
  readonly at: number;
  readonly calls: number;
}

/** Every loop of the measured program; a shape's site is opened and closed again. */
function loopsOf(symbol: (name: string) => number): {
  readonly loops: readonly Loop[];
  readonly sites: readonly Loop[];
  readonly changing: number;
} {
  const ways = Object.keys(WAYS).filter((way) => way !== 'site');
  const of = (shape: Shape, way: string): number => symbol(`bench_${shape}_${way}`);
  return {
    loops: SHAPE_NAMES.flatMap((shape) =>
      ways.map((way) => ({
        id: `${shape}/${way}`,
        at: of(shape, way),
        calls: SHAPES[shape].calls,
      })),
    ),
    sites: SHAPE_NAMES.map((shape) => ({
      id: shape,
      at: of(shape, 'site'),
      calls: SHAPES[shape].calls,
    })),
    changing: symbol('bench_changing'),
  };
}

const TABLE_POINTER = 'function pointer out of a table of 65,536';

function callTable(samples: Samples, shape: Shape, xray: boolean): Table {
  const row = (way: string, name: string, ours = false): Row | null =>
    samples.row(`${shape}/${way}`, name, { to: `${shape}/direct`, ours });
  // Measured once, in the tightest loop.
  const once = (id: string, name: string): Row | null =>
    shape === 'tight' ? samples.row(id, name, { to: 'tight/direct' }) : null;
  return {
    group: 'call',
    title: `A call: ${SHAPES[shape].name}`,
    about:
      'Nanoseconds for one call with the loop around it, and the ratio to the direct call of the ' +
      'same round.',
    noise: noiseOf(samples, [[`${shape}/direct`, `${shape}/copy`]]),
    rows: present([
      row('direct', WAYS.direct.name),
      row('copy', WAYS.copy.name),
      row('inline', 'static call, patched', true),
      row('trampoline', 'static call on its trampoline', true),
      row('nop', 'static call, empty', true),
      row('guard', WAYS.guard.name),
      row('pointer', WAYS.pointer.name),
      row('far', WAYS.far.name),
      once('changing/same', `${TABLE_POINTER}, one target`),
      once('changing/mixed', `${TABLE_POINTER}, two targets mixed`),
      row('plt', WAYS.plt.name),
      row('noplt', WAYS.noplt.name),
      row('retpoline', WAYS.retpoline.name),
      row('fence', WAYS.fence.name),
      once('xray/off', 'XRay, sleds off'),
      once('xray/on', 'XRay, sleds on, a handler that does nothing'),
    ]),
    missing: shape === 'tight' && !xray ? [XRAY_MISSING] : [],
  };
}
