// A run as one page: its finding in a sentence, an update under load, and for each table its plot
// and its figures.

import { markup } from '../base/printable.js';
import { figures, htmlPage, plotSvg, type Mark, type Plot, type PlotRow } from '../host/plot.js';
import type { BenchResult, Row, Table, Unit } from './result.js';
import { distanceOf, show } from './show.js';

const fixed = (value: number): string => value.toFixed(1);
const percent = (part: number): string => `${(100 * part).toFixed(1)} %`;

/** The rows of a group by their ids; of `update`, the table with this load. */
function rowsOf(
  { tables }: BenchResult,
  group: Table['group'],
  load = '',
): ReadonlyMap<string, Row> {
  const found = tables.filter(({ group: own, title }) => own === group && title.includes(load));
  return new Map(found.flatMap(({ rows }) => rows.map((row) => [row.id, row] as const)).reverse());
}

/** How the run names its loads (updates.ts). */
const [IDLE, BUSY] = ['no thread running', 'one thread calling'];

/** What the run says in one sentence, or what it holds where the usual rows are not among it. */
export function finding(result: BenchResult): string {
  const calls = rowsOf(result, 'call');
  const cost = (id: string, says: string): string[] => {
    const ratio = calls.get(`tight/${id}`)?.ratio;
    return ratio ? [`${says} ${ratio.value.toFixed(2)}`] : [];
  };
  const others = [
    ...cost('nop', 'an empty one'),
    ...cost('plt', 'a PLT'),
    ...cost('pointer', 'a pointer'),
    ...cost('retpoline', 'a retpoline'),
  ];
  const own = cost('inline', 'A patched static call costs');
  const said = own.map(
    (words) => `${words} of a direct call${others.map((o) => `, ${o}`).join('')}`,
  );
  const [update] = underLoad(result);
  const busy = update?.marks.find(({ kind }) => kind === 'ours');
  if (busy)
    said.push(
      `An update of one site takes ${show(busy.value, 'ns')} while a thread calls through it`,
    );
  if (said.length > 0) return `${said.join('. ')}.`;
  const count = result.tables.reduce((sum, { rows }) => sum + rows.length, 0);
  return `${count} figures, taken in ${result.seconds} s.`;
}

/** How long updates take by their number of sites, and how long a running thread stands still. */
function underLoad(result: BenchResult): readonly PlotRow[] {
  const [idle, busy] = [rowsOf(result, 'update', IDLE), rowsOf(result, 'update', BUSY)];
  const pauses = rowsOf(result, 'pause');
  const way = busy.has('1/alias/auto') ? 'auto' : 'int3';
  return [...busy.keys()]
    .filter((id) => new RegExp(`^\\d+/alias/${way}$`).test(id))
    .sort((a, b) => parseInt(a) - parseInt(b))
    .map((id) => {
      const mark = (rows: ReadonlyMap<string, Row>, kind: Mark['kind']): Mark[] => {
        const row = rows.get(id);
        return row ? [{ kind, value: row.median }] : [];
      };
      const sites = parseInt(id);
      return {
        name: sites === 1 ? '1 site' : `${sites.toLocaleString('en-US')} sites`,
        marks: [...mark(idle, 'theirs'), ...mark(busy, 'ours'), ...mark(pauses, 'third')],
      };
    });
}

export function loadPlot(result: BenchResult): Plot | null {
  const rows = underLoad(result);
  return rows.length === 0
    ? null
    : {
        title: 'An update under load',
        rows,
        show: (value) => show(value, 'ns'),
        legend: {
          theirs: 'the update, no thread running',
          ours: 'the update, a thread calling through the sites',
          third: 'the longest pause of that thread meanwhile',
        },
      };
}

/** Of rows of one unit. */
function plotOf(title: string, rows: readonly Row[], unit: Unit): Plot {
  return {
    title,
    rows: rows.map(({ name, ours, median, p99 }) => ({
      name,
      marks: [{ kind: ours ? 'ours' : 'theirs', value: median, upTo: p99 }],
    })),
    show: (value) => show(value, unit),
  };
}

/** What a call costs by the ways that are most met: the README's picture. */
export function callPlot(result: BenchResult): Plot {
  const rows = rowsOf(result, 'call');
  const shown = COMMON.flatMap((id) => rows.get(id) ?? []);
  return plotOf('A call in a loop, nanoseconds', shown, 'ns');
}
const COMMON = [
  'tight/nop',
  'tight/inline',
  'tight/direct',
  'tight/pointer',
  'tight/plt',
  'changing/mixed',
  'tight/retpoline',
];

function cells(row: Row, names: ReadonlyMap<string, string>): readonly string[] {
  const { ratio, unit } = row;
  const to = ratio && names.get(ratio.to);
  const more = Object.entries(row.more ?? {}).map(
    ([name, value]) => `${value.toFixed(2)} ${markup(name)}`,
  );
  if (typeof row.interrupts === 'number') more.push(`${fixed(row.interrupts)} interrupts`);
  const spread = ratio && `± ${percent(ratio.spread)}${to ? `, of ${markup(to)}` : ''}`;
  return [
    markup(row.name),
    show(row.median, unit),
    show(row.p99, unit),
    ratio ? `${ratio.value.toFixed(3)} <small>${spread}</small>` : '',
    row.samples.toLocaleString('en-US'),
    more.join(', '),
  ];
}

const COLUMNS = [
  { title: 'what' },
  { title: 'median', number: true },
  { title: 'p99', number: true },
  { title: 'ratio' },
  { title: 'samples', number: true },
  { title: 'besides' },
];

function section({ title, about, noise, rows, unheld, missing }: Table): string {
  const units = [...new Set(rows.map((row) => row.unit))];
  const names = new Map(rows.map((row) => [row.id, row.name]));
  const plots = units.map((unit) =>
    plotSvg(
      plotOf(
        title,
        rows.filter((row) => row.unit === unit),
        unit,
      ),
    ),
  );
  const lead = [
    markup(about),
    ...(noise === null ? [] : [`Two copies of the same thing differ by ${percent(noise)}.`]),
    ...(unheld === undefined ? [] : [`Not held by the gate: ${markup(unheld)}.`]),
  ];
  const table = figures(
    COLUMNS,
    rows.map((row) => cells(row, names)),
  );
  return [
    `<h2>${markup(title)}</h2><p>${lead.join(' ')}</p>`,
    rows.length === 0 ? '' : `${plots.join('\n')}${table}`,
    ...missing.map((m) => `<p class="faint">Not here: ${markup(m.what)}: ${markup(m.why)}.</p>`),
  ].join('');
}

const LEGEND = [
  'Bars and dots are medians, and the thin line goes on to the 99th percentile; what is ours is',
  'blue. A ratio is the median over rounds of two things measured one after the other, with half',
  'the distance of its quartiles.',
].join(' ');

export function page(result: BenchResult): string {
  const { machine, seconds, tables } = result;
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
  const load = loadPlot(result);
  return htmlPage('static-call bench', finding(result), [
    `<p class="faint">${markup(facts)}</p>`,
    ...(load ? [`<h2>${load.title}</h2>${plotSvg(load)}`] : []),
    `<p>${LEGEND}</p>`,
    ...tables.map(section),
  ]);
}
