// The record of a demo as one page: what came of it in a sentence, the calls of each tenth of a
// second with the batches that retargeted them, and who received the calls.

import { markup } from '../base/printable.js';
import type { DemoResult, Moment } from './demo.js';
import { figures, htmlPage, plotSvg, type Plot } from './plot.js';

const count = (value: number): string => Math.round(value).toLocaleString('en-US');

/** Of 1,234,567 a label of a plot. */
function short(value: number): string {
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)} M`;
  return value >= 1e4 ? `${(value / 1e3).toFixed(0)} k` : count(value);
}

/** Seconds: less than this between two looks says nothing. */
const SHORT = 0.05;
/** Rows of the plot over time: more than these are not read. */
const ROWS_MAX = 20;

export function finding({ calls, updates, wrong, seconds, threads }: DemoResult): string {
  const by = threads === 1 ? 'One thread' : `${threads} threads`;
  const judged = wrong === 0 ? 'no result was wrong' : `${count(wrong)} results were WRONG`;
  return (
    `${by} made ${count(calls)} calls in ${seconds.toFixed(1)} s, while ${count(updates)} ` +
    `batches retargeted three hooks each; ${judged}.`
  );
}

/** The sums that were made and the batches that went in, a second, over the time of the run. */
export function timePlots({ timeline }: DemoResult): readonly Plot[] {
  const step = Math.max(1, Math.ceil((timeline.length - 1) / ROWS_MAX));
  // The last look is taken as the run ends, and may follow another at once.
  const whole = timeline.filter(
    ({ seconds }, i) => i === 0 || seconds - (timeline[i - 1]?.seconds ?? 0) > SHORT,
  );
  const kept = whole.filter((_, i) => i % step === 0);
  const rate = (of: (moment: Moment) => number) =>
    kept.slice(1).map((now, i) => {
      const before = kept[i] ?? now;
      return {
        name: `${before.seconds.toFixed(1)} to ${now.seconds.toFixed(1)} s`,
        marks: [
          { kind: 'ours' as const, value: (of(now) - of(before)) / (now.seconds - before.seconds) },
        ],
      };
    });
  return [
    { title: 'Blocks summed a second', rows: rate(({ calls }) => calls), show: short, bars: true },
    { title: 'Batches a second', rows: rate(({ updates }) => updates), show: short, bars: true },
  ];
}

export function targetPlot({ targets }: DemoResult): Plot {
  return {
    title: 'Calls received by each target',
    rows: Object.entries(targets).map(([name, value]) => ({
      name: NOTHING[name] ?? name,
      marks: [{ kind: 'ours', value }],
    })),
    show: short,
  };
}

/** Where a call reaches no function. */
const NOTHING: Readonly<Record<string, string>> = {
  null: 'null: the call is empty',
  ret0: 'ret0: the call is an instruction that returns 0',
};

export function page(result: DemoResult): string {
  const { protocol, writer, traps, inline, trampoline, callNs } = result;
  const rows = [
    ['protocol', markup(protocol)],
    ['writer', markup(writer)],
    ['calls emulated by the trap handler', count(traps)],
    ['sites inline', count(inline)],
    ['sites on their trampoline', count(trampoline)],
    ['ns for a call, before the sites were patched', callNs.before.toFixed(2)],
    ['ns for a call, after', callNs.after.toFixed(2)],
  ];
  return htmlPage('static-call demo', finding(result), [
    ...[targetPlot(result), ...timePlots(result)].map((plot) =>
      plot.rows.length === 0 ? '' : `<h2>${plot.title}</h2>${plotSvg(plot)}`,
    ),
    `<h2>Figures</h2>${figures([{ title: 'what' }, { title: 'figure', number: true }], rows)}`,
  ]);
}
