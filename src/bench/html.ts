// A run as one page: the machine, and for each table its plot and its figures. No script, no font,
// no image: one file that opens from disk and can be sent.

import { markup } from '../base/printable.js';
import { distanceOf, show } from './show.js';
import type { BenchResult, Row, Table, Unit } from './result.js';

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
    const decade = 10 ** Math.floor(Math.log10(high));
    const step = high / decade < 3 ? decade / 2 : decade;
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

const fixed = (value: number): string => value.toFixed(1);
const percent = (part: number): string => `${(100 * part).toFixed(1)} %`;

function tickAt(x: number, height: number, text: string): string {
  const at = fixed(LABEL + x);
  return [
    `<line class="grid" x1="${at}" x2="${at}" y1="${TOP - 6}" y2="${height}"/>`,
    `<text class="tick" x="${at}" y="12">${markup(text)}</text>`,
  ].join('');
}

/** A bar to the median, a thin line on to the 99th percentile. */
function barAt(y: number, { name, ours }: Row, median: number, p99: number): string {
  const [from, to] = [fixed(LABEL + median), fixed(LABEL + p99)];
  const width = fixed(Math.max(1, median));
  const whose = ours ? 'ours' : 'theirs';
  return [
    `<text x="${LABEL - 8}" y="${y + 13}" class="label">${markup(name)}</text>`,
    `<rect class="${whose}" x="${LABEL}" y="${y + 3}" width="${width}" height="12"/>`,
    `<line class="p99" x1="${from}" x2="${to}" y1="${y + 9}" y2="${y + 9}"/>`,
  ].join('');
}

/** Of rows of one unit. */
function plot(rows: readonly Row[], unit: Unit): string {
  // A far outlier of p99 would press every bar against the left edge.
  const shown = rows.map((row) => ({ row, p99: Math.min(row.p99, row.median * 100) }));
  const { log, x, ticks } = scaleOf(
    shown.flatMap(({ row, p99 }) => [row.median, p99]).filter((v) => v > 0),
  );
  const height = TOP + rows.length * LINE + 4;
  return [
    `<svg viewBox="0 0 ${LABEL + PLOT + 60} ${height}" role="img"`,
    ` aria-label="medians${log ? ', logarithmic' : ''}">`,
    ...ticks.map((tick) => tickAt(x(tick), height, show(tick, unit))),
    ...shown.map(({ row, p99 }, i) => barAt(TOP + i * LINE, row, x(row.median), x(p99))),
    '</svg>',
  ].join('');
}

function tableRow(row: Row, names: ReadonlyMap<string, string>): string {
  const { ratio, unit } = row;
  const to = ratio && names.get(ratio.to);
  const more = Object.entries(row.more ?? {}).map(
    ([name, value]) => `${value.toFixed(2)} ${markup(name)}`,
  );
  if (typeof row.interrupts === 'number') more.push(`${fixed(row.interrupts)} interrupts`);
  const spread = ratio && `± ${percent(ratio.spread)}${to ? `, of ${markup(to)}` : ''}`;
  const cells = [
    markup(row.name),
    show(row.median, unit),
    show(row.p99, unit),
    ratio ? `${ratio.value.toFixed(3)} <small>${spread}</small>` : '',
    row.samples.toLocaleString('en-US'),
    more.join(', '),
  ];
  return `<tr>${cells.map((cell) => `<td>${cell}`).join('')}`;
}

function section({ title, about, noise, rows, unheld, missing }: Table): string {
  const units = [...new Set(rows.map((row) => row.unit))];
  const names = new Map(rows.map((row) => [row.id, row.name]));
  const plots = units.map((unit) =>
    plot(
      rows.filter((row) => row.unit === unit),
      unit,
    ),
  );
  const lead = [
    markup(about),
    ...(noise === null ? [] : [`Two copies of the same thing differ by ${percent(noise)}.`]),
    ...(unheld === undefined ? [] : [`Not held by the gate: ${markup(unheld)}.`]),
  ];
  const head = '<tr><th>what<th>median<th>p99<th>ratio<th>samples<th>more';
  const figures = [head, ...rows.map((row) => tableRow(row, names))].join('\n');
  return [
    `<h2>${markup(title)}</h2><p>${lead.join(' ')}</p>`,
    rows.length === 0 ? '' : `${plots.join('\n')}<table>${figures}</table>`,
    ...missing.map((m) => `<p class="missing">Not here: ${markup(m.what)}: ${markup(m.why)}.</p>`),
  ].join('');
}

const STYLE = `
body { font: 15px/1.45 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #1a1a1a; background: #fff; }
h2 { margin-top: 2.5rem; font-size: 1.1rem; }
svg { width: 100%; font-size: 11px; }
.label { text-anchor: end; fill: currentColor; }
.tick { text-anchor: middle; fill: #777; }
.grid { stroke: #ddd; }
.ours { fill: #1f6feb; }
.theirs { fill: #9aa4b2; }
.p99 { stroke: currentColor; }
table { border-collapse: collapse; font-size: 13px; }
td, th { padding: 2px 10px 2px 0; text-align: left; vertical-align: top; }
td:nth-child(n+2):nth-child(-n+3), td:nth-child(5) { text-align: right; white-space: nowrap; }
small, .missing { color: #666; }
@media (prefers-color-scheme: dark) {
  body { color: #ddd; background: #16181d; }
  .grid { stroke: #333; }
  small, .missing { color: #aaa; }
}
`;

const LEGEND = [
  'Bars are medians, the thin line goes on to the 99th percentile; what is ours is blue.',
  'A ratio is the median over rounds of two things measured one after the other, with half the',
  'distance of its quartiles.',
].join(' ');

export function page({ machine, seconds, tables }: BenchResult): string {
  const facts = [
    `${machine.cpu}, ${machine.cpus} CPUs${machine.hypervisor ? ' of a virtual machine' : ''}`,
    `Linux ${machine.kernel}`,
    `Node ${machine.node}`,
    machine.compiler,
    `load ${machine.load.toFixed(2)} at the start`,
    ...distanceOf(machine),
    `${machine.date.slice(0, 16).replace('T', ' ')} UTC`,
    `${seconds} s`,
  ].join('; ');
  return `<!doctype html>
<html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>static-call bench</title>
<style>${STYLE}</style>
<h1>static-call bench</h1><p>${markup(facts)}</p>
<p>${LEGEND}</p>
${tables.map(section).join('\n')}
</html>
`;
}
