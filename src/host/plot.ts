// Plots of figures as SVG without a script: a line of words for each row, and under it a bar, or
// dots where the values lie too far apart for bars. Places along the axis are parts of the width,
// so that the text keeps its size on a phone, and the same picture stands alone as a file.

import { markup, printable } from '../base/printable.js';

/** How a mark looks: ours, what it is held against, and a third thing beside both. */
export type Kind = 'ours' | 'theirs' | 'third';

export interface Mark {
  readonly kind: Kind;
  readonly value: number;
  /** A thin line goes on to here. */
  readonly upTo?: number;
}

export interface PlotRow {
  readonly name: string;
  readonly marks: readonly Mark[];
}

export interface Plot {
  readonly title: string;
  readonly rows: readonly PlotRow[];
  /** Values as people read them. */
  readonly show: (value: number) => string;
  /** Bars, however far the values lie apart: rows that stand for moments are compared with 0. */
  readonly bars?: boolean;
  /** What the kinds are, where a row has several marks. */
  readonly legend?: Readonly<Partial<Record<Kind, string>>>;
}

/** Bars begin at 0, so the least of them has to be seen beside the longest. */
const BARS_WITHIN = 40;
const [LINE, GAP, TOP] = [17, 27, 44];
/** Of a line of words, in characters: a phone is 360 pixels wide. */
const WORDS = 52;

interface Scale {
  readonly bars: boolean;
  /** Percent of the width. */
  x(value: number): number;
  readonly ticks: readonly number[];
}

function scaleOf({ rows, bars = false }: Plot): Scale {
  const values = rows.flatMap(({ marks }) => marks.map(({ value }) => value)).filter((v) => v > 0);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const further = rows.flatMap(({ marks }) => marks.map(({ upTo = 0 }) => upTo));
  if (values.length === 0) return { bars: true, x: () => 0, ticks: [0] };
  if (!bars && high / low > BARS_WITHIN) return decades(low, Math.max(high, ...further));
  // A far outlier would press every bar against the left edge: its line leaves the picture.
  const most = Math.min(Math.max(high, ...further), 1.5 * high);
  const decade = 10 ** Math.floor(Math.log10(most));
  const step = [0.2, 0.5, 1, 2, 5].find((part) => most / (part * decade) <= 5) ?? 5;
  const ticks = Array.from({ length: 6 }, (_, i) => i * step * decade).filter((at) => at <= most);
  return { bars: true, x: (value) => (100 * Math.min(value, most)) / most, ticks };
}

function decades(low: number, high: number): Scale {
  const from = Math.floor(Math.log10(low));
  const to = Math.max(from + 1, Math.ceil(Math.log10(high)));
  const x = (value: number): number =>
    Math.min(100, Math.max(0, (100 * (Math.log10(value) - from)) / (to - from)));
  return {
    bars: false,
    x,
    ticks: Array.from({ length: to - from + 1 }, (_, i) => 10 ** (from + i)),
  };
}

const part = (percent: number): string => `${percent.toFixed(2)}%`;

function textAt(x: string, y: number, words: string, kind: string): string {
  return `<text class="${kind}" x="${x}" y="${y}">${markup(words)}</text>`;
}

function tick(at: number, last: boolean, height: number, words: string): string {
  const end = last ? ' right' : ' middle';
  const where = at === 0 ? '' : end;
  return (
    `<line class="grid" x1="${part(at)}" x2="${part(at)}" y1="${TOP - 6}" y2="${height}"/>` +
    textAt(part(at), TOP - 12, words, `tick${where}`)
  );
}

/** Dots are not bars: their length from the edge means nothing. */
function mark({ kind, value, upTo }: Mark, y: number, { bars, x }: Scale): string {
  const at = part(x(value));
  const on =
    upTo === undefined
      ? ''
      : `<line class="on" x1="${at}" x2="${part(x(upTo))}" y1="${y}" y2="${y}"/>`;
  if (bars) return `<rect class="${kind}" x="0" width="${at}" y="${y - 5}" height="10"/>${on}`;
  return `${on}<svg x="${at}" y="${y}" overflow="visible">${dot(kind)}</svg>`;
}

const DOTS: Readonly<Record<Kind, string>> = {
  ours: '<circle class="ours" r="5"/>',
  theirs: '<circle class="hollow" r="4"/>',
  third: '<path class="third" d="M-5 4 L0 -5 L5 4 Z"/>',
};
const dot = (kind: Kind): string => DOTS[kind];
/** The same among words. */
const SIGNS: Readonly<Record<Kind, string>> = { ours: '●', theirs: '○', third: '▲' };

/** A label in as many lines as it needs, the values at the right of the first. */
function label({ name, marks }: PlotRow, y: number, show: Plot['show']): readonly string[] {
  const several = marks.length > 1;
  const values = marks
    .map(({ kind, value }) => `${several ? `${SIGNS[kind]} ` : ''}${show(value)}`)
    .join('  ');
  return broken(name, WORDS - values.length).map(
    (line, i) =>
      textAt('0', y + i * LINE, line, 'label') +
      (i === 0 ? textAt('100%', y, values, 'value right') : ''),
  );
}

function broken(text: string, room: number): readonly string[] {
  const lines: string[] = [];
  for (const word of printable(text).split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= room)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

interface Drawn {
  readonly height: number;
  readonly body: string;
}

function body(plot: Plot): Drawn {
  const { rows, show, legend = {} } = plot;
  const scale = scaleOf(plot);
  const marks: string[] = [];
  let y = TOP + 12;
  for (const row of rows) {
    const words = label(row, y, show);
    y += (words.length - 1) * LINE;
    marks.push(...words, ...row.marks.map((each) => mark(each, y + 12, scale)));
    y += LINE + GAP - 4;
  }
  const kinds = (Object.keys(DOTS) as Kind[]).filter((kind) => legend[kind] !== undefined);
  for (const kind of kinds) {
    marks.push(`<svg x="6" y="${y - 4}" overflow="visible">${dot(kind)}</svg>`);
    marks.push(textAt('18', y, legend[kind] ?? '', 'tick'));
    y += LINE;
  }
  const height = y;
  const axis = scale.bars ? 'bars from 0' : 'dots; each line is ten times the one before';
  const end = scale.ticks.length - 1;
  const grid = scale.ticks.map((at, i) =>
    tick(scale.x(at), i === end && scale.x(at) > 90, height - kinds.length * LINE - 14, show(at)),
  );
  return { height, body: [textAt('0', 14, axis, 'tick'), ...grid, ...marks].join('') };
}

/** For a page, which has the style. */
export function plotSvg(plot: Plot): string {
  const { height, body: marks } = body(plot);
  const title = `<title>${markup(plot.title)}</title>`;
  return `<svg role="img" width="100%" height="${height}" class="plot">${title}${marks}</svg>`;
}

/** A file of its own: the same with its style, a title and room around it. */
export function plotFile(plot: Plot, width = 640): string {
  const { height, body: marks } = body(plot);
  const edge = 16;
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height + 3 * edge}" role="img">` +
    `<title>${markup(plot.title)}</title><style>${PLOT_STYLE}${FILE_STYLE}</style>` +
    `<rect class="paper" width="100%" height="100%"/>` +
    textAt(String(edge), edge + 10, plot.title, 'title') +
    `<svg x="${edge}" y="${2 * edge}" width="${width - 2 * edge}" height="${height}" overflow="visible">` +
    `${marks}</svg></svg>\n`
  );
}

const LIGHT = `
.label, .value, .title { fill: #1f2328; }
.tick { fill: #59636e; }
.grid { stroke: #d1d9e0; }
.ours { fill: #0969da; }
.theirs { fill: #8c959f; }
.third { fill: #9a6700; }
.hollow { fill: none; stroke: #59636e; stroke-width: 2; }
.on { stroke: #1f2328; }
`;
const DARK = `
.label, .value, .title { fill: #e6edf3; }
.tick { fill: #9198a1; }
.grid { stroke: #3d444d; }
.ours { fill: #4493f8; }
.theirs { fill: #7d8590; }
.third { fill: #d29922; }
.hollow { stroke: #9198a1; }
.on { stroke: #e6edf3; }
`;
export const PLOT_STYLE = `
text { font: 13px system-ui, sans-serif; }
.tick { font-size: 12px; }
.value { font-weight: 600; white-space: pre; }
.title { font-size: 15px; font-weight: 600; }
.right { text-anchor: end; }
.middle { text-anchor: middle; }
${LIGHT}@media (prefers-color-scheme: dark) {${DARK}}
`;
const FILE_STYLE = `.paper { fill: #ffffff; }
@media (prefers-color-scheme: dark) { .paper { fill: #0d1117; } }
`;

const PAGE_STYLE = `
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 0 auto; padding: 1rem;
  color: #1f2328; background: #ffffff; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; margin: 0.5rem 0; }
h2 { font-size: 1.1rem; margin: 2.5rem 0 0.25rem; }
.finding { font-size: 1.15rem; }
.plot { display: block; max-width: 40rem; margin: 0.75rem 0; overflow: visible; }
.figures { overflow-x: auto; }
table { border-collapse: collapse; font-size: 14px; overflow-wrap: normal; }
td, th { padding: 3px 12px 3px 0; text-align: left; vertical-align: top; }
td:first-child { min-width: 14rem; }
.number { text-align: right; white-space: nowrap; }
small, .faint { color: #59636e; }
@media (prefers-color-scheme: dark) {
  body { color: #e6edf3; background: #0d1117; }
  small, .faint { color: #9198a1; }
}
`;

/** One file that opens from disk and can be sent: no script, no font, no image. */
export function htmlPage(title: string, finding: string, body: readonly string[]): string {
  return `<!doctype html>
<html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>${markup(title)}</title>
<style>${PLOT_STYLE}${PAGE_STYLE}</style>
<h1>${markup(title)}</h1>
<p class="finding">${markup(finding)}</p>
${body.join('\n')}
</html>
`;
}

export interface Column {
  readonly title: string;
  readonly number?: boolean;
}

/**
 * Cells are markup already. A column without anything in it is left out. Where the table is wider
 * than the page it is scrolled, by the keyboard too.
 */
export function figures(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const used = columns.map((_, i) => rows.some((cells) => cells[i] !== ''));
  const line = (tag: string, cells: readonly string[]): string =>
    `<tr>${cells
      .map((cell, i) =>
        used[i] ? `<${tag}${columns[i]?.number ? ' class="number"' : ''}>${cell}` : '',
      )
      .join('')}`;
  const head = line(
    'th',
    columns.map(({ title }) => title),
  );
  const lines = [head, ...rows.map((cells) => line('td', cells))].join('\n');
  return `<div class="figures" tabindex="0"><table>${lines}</table></div>`;
}
