// A trace as lanes: time downwards, the site's bytes at the left with the changed ones marked, one column for
// the patcher and one for each CPU. What does not matter for the story is left out first, then the oldest of the rest.

import type { TraceStep } from './trace.js';

export const LINES_MAX = 15;
export const COLUMNS_MAX = 100;

interface Line {
  readonly bytes: readonly number[];
  readonly changed: readonly boolean[];
  readonly lane: number;
  readonly text: string;
  /** Joined to the other half of the pair that makes the trouble. */
  readonly culprit: boolean;
}

function lines(steps: readonly TraceStep[]): { shown: Line[]; left: number } {
  const kept = steps.filter(({ minor }, i) => !minor || i === steps.length - 1);
  let before: readonly number[] = steps[0]?.site ?? [];
  const all = kept.map((step, i): Line => {
    const changed = step.site.map((byte, at) => byte !== before[at]);
    before = step.site;
    const text = step.why !== null && step.step >= 0 && !kept.slice(0, i).some((other) => other.step === step.step && other.update === step.update) ? `${step.what}: ${step.why}` : step.what;
    return { bytes: step.site, changed, lane: step.who + 1, text, culprit: false };
  });
  // The culprit pair: the violating step, and the last one before it that somebody else made.
  const last = all.length - 1;
  const other = all.findLastIndex(({ lane }, i) => i < last && lane !== all[last]?.lane);
  const marked = all.map((line, i) => ({ ...line, culprit: i === last || i === other }));
  const room = LINES_MAX - 3;
  if (marked.length <= room) return { shown: marked, left: 0 };
  return { shown: marked.slice(marked.length - room + 1), left: marked.length - room + 1 };
}

/** At most LINES_MAX lines of at most COLUMNS_MAX columns. */
export function draw(steps: readonly TraceStep[], cpus: number): string {
  const { shown, left } = lines(steps);
  const bytes = Math.max(...shown.map(({ bytes: { length } }) => length), 0);
  const site = Math.max(4, bytes * 3 + 1);
  const used = [...Array.from({ length: cpus + 1 }, (_, lane) => lane)].filter((lane) => lane === 0 || shown.some((line) => line.lane === lane));
  const width = Math.floor((COLUMNS_MAX - site - 4) / used.length) - 2;
  const cut = (text: string, room: number) => (text.length > room ? `${text.slice(0, room - 1)}…` : text.padEnd(room));
  const row = (first: string, mark: string, cells: readonly string[]) => `${first.padEnd(site)} ${mark} ${cells.map((cell) => cut(cell, width)).join('  ')}`.trimEnd();
  const head = row('site', ' ', used.map((lane) => (lane === 0 ? 'patcher' : `CPU ${lane - 1}`)));
  const body = shown.map((line) => {
    const spelled = line.bytes.map((byte, i) => `${line.changed[i] ? '*' : ' '}${byte.toString(16).padStart(2, '0')}`).join('');
    return row(spelled, line.culprit ? '>' : ' ', used.map((lane) => (lane === line.lane ? line.text : '|')));
  });
  const end = shown.at(-1);
  const told = end === undefined ? [] : [cut(`  = ${end.text.slice(end.text.indexOf(': ') + 2)}`, COLUMNS_MAX).trimEnd()];
  return [head, ...(left > 0 ? [row('', ' ', [`(${left} earlier steps)`])] : []), ...body, ...told].join('\n');
}

const escape = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/** The same picture for a page. */
export function drawSvg(steps: readonly TraceStep[], cpus: number): string {
  const { shown, left } = lines(steps);
  const lanes = cpus + 1;
  const site = 150;
  const lane = 340;
  const height = 26;
  const x = (n: number) => site + n * lane;
  const total = (shown.length + 2) * height;
  const out: string[] = [];
  for (let n = 0; n < lanes; n++) {
    out.push(`<text x="${x(n) + 8}" y="18" font-weight="bold">${n === 0 ? 'patcher' : `CPU ${n - 1}`}</text>`);
    out.push(`<line x1="${x(n)}" y1="${height}" x2="${x(n)}" y2="${total}" stroke="#bbb"/>`);
  }
  if (left > 0) out.push(`<text x="8" y="18" fill="#777">${left} earlier steps</text>`);
  const culprits: { x: number; y: number }[] = [];
  shown.forEach((line, i) => {
    const y = (i + 2) * height - 8;
    line.bytes.forEach((byte, at) => out.push(`<text x="${8 + at * 27}" y="${y}"${line.changed[at] ? ' fill="#c00" font-weight="bold"' : ' fill="#555"'}>${byte.toString(16).padStart(2, '0')}</text>`));
    const text = line.text.length > 46 ? `${line.text.slice(0, 45)}…` : line.text;
    out.push(`<text x="${x(line.lane) + 8}" y="${y}"${line.culprit ? ' fill="#c00"' : ''}><title>${escape(line.text)}</title>${escape(text)}</text>`);
    if (line.culprit) culprits.push({ x: x(line.lane), y: y - 5 });
  });
  const [a, b] = culprits;
  if (a !== undefined && b !== undefined) out.push(`<path d="M${a.x} ${a.y} L${b.x} ${b.y}" stroke="#c00" stroke-dasharray="4 3" fill="none"/>`);
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${x(lanes)}" height="${total + 8}" font-family="monospace" font-size="12">\n${out.join('\n')}\n</svg>\n`;
}
