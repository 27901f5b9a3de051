// A run as one page: the machine, and for each table its plot and its figures. No script, no font,
// no image: one file that opens from disk and can be sent.

import { markup } from '../base/printable.js';
import { show } from './show.js';
import type { BenchResult, Row, Table } from './result.js';

const LABEL = 380;
const PLOT = 460;
const LINE = 20;
const TOP = 24;

/** Values of one table lie within a factor of thirty, or they are drawn by their logarithm. */
function scaleOf(values: readonly number[]): {
  readonly log: boolean;
  x(value: number): number;
  readonly ticks: readonly number[];
} {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (high / Math.max(low, 1e-9) <= 30) {
    const step =
      10 ** Math.floor(Math.log10(high)) / (high / 10 ** Math.floor(Math.log10(high)) < 3 ? 2 : 1);
    const ticks = Array.from({ length: Math.floor(high / step) + 1 }, (_, i) => i * step);
    return { log: false, x: (value) => (value / high) * PLOT, ticks };
  }
  const [from, to] = [Math.floor(Math.log10(Math.max(low, 1e-9))), Math.ceil(Math.log10(high))];
  const ticks = Array.from({ length: to - from + 1 }, (_, i) => 10 ** (from + i));
  return {
    log: true,
    x: (value) => ((Math.log10(Math.max(value, 10 ** from)) - from) / (to - from)) * PLOT,
    ticks,
  };
}

/** One row is a bar to its median, a thin line on to its 99th percentile. */
function plot(rows: readonly Row[]): string {
  const unit = rows[0]!.unit;
  // A far outlier of p99 would press every bar against the left edge.
  const shown = rows.map((row) => ({ row, p99: Math.min(row.p99, row.median * 100) }));
  const { log, x, ticks } = scaleOf(
    shown.flatMap(({ row, p99 }) => [row.median, p99]).filter((v) => v > 0),
  );
  const height = TOP + rows.length * LINE + 4;
  const grid = ticks.map((tick) => {
    const at = (LABEL + x(tick)).toFixed(1);
    return `<line class="grid" x1="${at}" x2="${at}" y1="${TOP - 6}" y2="${height}"/><text class="tick" x="${at}" y="12">${markup(show(tick, unit))}</text>`;
  });
  const bars = shown.map(({ row, p99 }, i) => {
    const y = TOP + i * LINE;
    const [median, end] = [x(row.median), x(p99)];
    return `<text x="${LABEL - 8}" y="${y + 13}" class="label">${markup(row.name)}</text><rect class="${row.ours ? 'ours' : 'theirs'}" x="${LABEL}" y="${y + 3}" width="${Math.max(1, median).toFixed(1)}" height="12"/><line class="p99" x1="${(LABEL + median).toFixed(1)}" x2="${(LABEL + end).toFixed(1)}" y1="${y + 9}" y2="${y + 9}"/>`;
  });
  return `<svg viewBox="0 0 ${LABEL + PLOT + 60} ${height}" role="img" aria-label="medians${log ? ', logarithmic' : ''}">${grid.join('')}${bars.join('')}</svg>`;
}

function section(table: Table): string {
  const units = [...new Set(table.rows.map((row) => row.unit))];
  const plots = units.map((unit) => plot(table.rows.filter((row) => row.unit === unit))).join('\n');
  const names = new Map(table.rows.map((row) => [row.id, row.name]));
  const rows = table.rows.map((row) => {
    const ratio = row.ratio
      ? `${row.ratio.value.toFixed(3)} <small>± ${(100 * row.ratio.spread).toFixed(1)} %${names.has(row.ratio.to) ? `, of ${markup(names.get(row.ratio.to)!)}` : ''}</small>`
      : '';
    const more = Object.entries(row.more ?? {}).map(
      ([name, value]) => `${value.toFixed(2)} ${markup(name)}`,
    );
    if (typeof row.interrupts === 'number') more.push(`${row.interrupts.toFixed(1)} interrupts`);
    return `<tr><td>${markup(row.name)}<td>${show(row.median, row.unit)}<td>${show(row.p99, row.unit)}<td>${ratio}<td>${row.samples.toLocaleString('en-US')}<td>${more.join(', ')}`;
  });
  const body =
    table.rows.length === 0
      ? ''
      : `${plots}<table><tr><th>what<th>median<th>p99<th>ratio<th>samples<th>more\n${rows.join('\n')}</table>`;
  const noise =
    table.noise === null
      ? ''
      : ` Two copies of the same thing differ by ${(100 * table.noise).toFixed(1)} %.`;
  return `<h2>${markup(table.title)}</h2><p>${markup(table.about)}${noise}${table.unheld === undefined ? '' : ` Not held by the gate: ${markup(table.unheld)}.`}</p>${body}${table.missing.map((m) => `<p class="missing">Not here: ${markup(m.what)}: ${markup(m.why)}.</p>`).join('')}`;
}

export function page({ machine, seconds, tables }: BenchResult): string {
  const facts = `${machine.cpu}, ${machine.cpus} CPUs${machine.hypervisor ? ' of a virtual machine' : ''}; Linux ${machine.kernel}; Node ${machine.node}; ${machine.compiler}; load ${machine.load.toFixed(2)} at the start; ${machine.date.slice(0, 16).replace('T', ' ')} UTC; ${seconds} s`;
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>static-call bench</title>
<style>
body { font: 15px/1.45 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; background: #fff; }
h2 { margin-top: 2.5rem; font-size: 1.1rem; } svg { width: 100%; font-size: 11px; } .label { text-anchor: end; fill: currentColor; }
.tick { text-anchor: middle; fill: #777; } .grid { stroke: #ddd; } .ours { fill: #1f6feb; } .theirs { fill: #9aa4b2; } .p99 { stroke: currentColor; }
table { border-collapse: collapse; font-size: 13px; } td, th { padding: 2px 10px 2px 0; text-align: left; vertical-align: top; } td:nth-child(n+2):nth-child(-n+3), td:nth-child(5) { text-align: right; white-space: nowrap; }
small, .missing { color: #666; } @media (prefers-color-scheme: dark) { body { color: #ddd; background: #16181d; } .grid { stroke: #333; } }
</style>
<h1>static-call bench</h1><p>${markup(facts)}</p>
<p>Bars are medians, the line on is the 99th percentile; what is ours is blue. A ratio is the median over rounds of two things measured one after the other, with half the distance of its quartiles.</p>
${tables.map(section).join('\n')}
</html>
`;
}
