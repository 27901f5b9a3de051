// Group 1: what a call costs, by the way it is made. Every way has a loop of its own that lies at
// the same place in its page; the site's loop is one loop, opened and closed again in each round,
// so that "patched", "trampoline" and "empty" differ in five bytes and in nothing else.

import { openWith } from '../app/open.js';
import { Fault } from '../base/fault.js';
import type { Native } from '../machine/linux/native.js';
import type { Driver } from './driver.js';
import { callsSource, SHAPES, WAYS, type Shape } from './programs.js';
import { noiseOf, present, Samples, type Missing, type Row, type Table } from './result.js';
import type { Workshop } from './tools.js';
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
  const handle = native.load(path);
  const symbol = (name: string): number => {
    const at = native.symbol(handle, name);
    if (at === 0)
      throw new Fault('not-loaded', `the measured program has no ${name}`, { at: path });
    return at;
  };
  const library = native.library(path);
  const mix = library('void bench_mix(int)');
  library('void bench_aim(int64)')(driver.far());

  const samples = new Samples();
  const measure = (id: string, loop: number, calls: number): void => {
    const iterations = Math.max(1, Math.round(CALLS / calls));
    let least = Infinity;
    for (let k = 0; k < REPEAT; k++) least = Math.min(least, driver.loop(loop, iterations));
    samples.add(id, least / (iterations * calls));
  };
  const loops = SHAPE_NAMES.flatMap((shape) =>
    Object.keys(WAYS)
      .filter((way) => way !== 'site')
      .map((way) => ({
        id: `${shape}/${way}`,
        at: symbol(`bench_${shape}_${way}`),
        calls: SHAPES[shape].calls,
      })),
  );
  const sites = SHAPE_NAMES.map((shape) => ({
    shape,
    at: symbol(`bench_${shape}_site`),
    calls: SHAPES[shape].calls,
  }));
  const changing = symbol('bench_changing');
  const asSite = (how: string): void => {
    for (const { shape, at, calls } of sites) measure(`${shape}/${how}`, at, calls);
  };

  const end = performance.now() + budget;
  for (let round = 0; round < 5 || (performance.now() < end && !signal.aborted); round++) {
    asSite('trampoline');
    // Another order in each round: whoever comes first finds the caches as the last one left them.
    for (let i = 0; i < loops.length; i++) {
      const { id, at, calls } = loops[(i + round * 7) % loops.length]!;
      measure(id, at, calls);
    }
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
  }

  const missing: Missing[] = xray ? [] : [XRAY_MISSING];
  return SHAPE_NAMES.map((shape): Table => {
    const row = (way: string, name: string, ours = false): Row | null =>
      samples.row(`${shape}/${way}`, name, { to: `${shape}/direct`, ours });
    return {
      group: 'call',
      title: `A call: ${SHAPES[shape].name}`,
      about:
        'Nanoseconds for one call with the loop around it, and the ratio to the direct call of the same round.',
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
        ...(shape === 'tight'
          ? [
              samples.row(
                'changing/same',
                'function pointer out of a table of 65,536, one target',
                { to: 'tight/direct' },
              ),
              samples.row(
                'changing/mixed',
                'function pointer out of a table of 65,536, two targets mixed',
                { to: 'tight/direct' },
              ),
            ]
          : []),
        row('plt', WAYS.plt.name),
        row('noplt', WAYS.noplt.name),
        row('retpoline', WAYS.retpoline.name),
        row('fence', WAYS.fence.name),
        ...(shape === 'tight'
          ? [
              samples.row('xray/off', 'XRay, sleds off', { to: 'tight/direct' }),
              samples.row('xray/on', 'XRay, sleds on, a handler that does nothing', {
                to: 'tight/direct',
              }),
            ]
          : []),
      ]),
      missing: shape === 'tight' ? missing : [],
    };
  });
}
