// A trace as lanes: time downwards, the site's bytes at the left with the changed ones marked, one
// lane for the patcher and one for each CPU, beside them what was done and, of a protocol's step,
// why. The two steps that make the trouble are filled and joined. Steps of the patcher that nobody
// came between are one row; where there are more rows than room, some are counted and not shown.

import { markup, printable } from '../../base/printable.js';
import type { Op } from '../../machine/sim/patcher.js';
import { spell, type Trace, type TraceStep } from './trace.js';

export const LINES_MAX = 15;
export const COLUMNS_MAX = 100;

/** One step, or several of one kind. */
export interface Row {
  readonly who: number;
  readonly what: string;
  readonly why: string | null;
  /** Of the protocol; -1 for what is no step of it. */
  readonly step: number;
  readonly site: readonly number[];
  readonly changed: readonly boolean[];
  readonly fetched: readonly number[] | null;
  /** Something came to this CPU from outside. */
  readonly event: boolean;
  /** A CPU does what it was asked for. */
  readonly answer: boolean;
  /** One of the pair: the crux, and the last one before it that somebody else made. */
  readonly culprit: boolean;
}

/**
 * How an operation that asks the CPUs for something is reported together with the one that waits for
 * their answers; null where an operation is only reported together with more of its own kind.
 */
const ASKED: Readonly<Record<Op['op'], string | null>> = {
  send: 'sync: asks every CPU, and all have answered',
  stop: 'stops every CPU',
  store: null,
  write: null,
  count: null,
  exchange: null,
  await: null,
  retry: null,
  current: null,
  return: null,
  lock: null,
  unlock: null,
  wait: null,
  barrier: null,
  stopped: null,
  self: null,
  pass: null,
  release: null,
};

const asks = (op: Op['op'] | null): boolean => op !== null && ASKED[op] !== null;

/** What consecutive steps of the patcher, all of one step of its protocol, did together. */
function together(steps: readonly TraceStep[]): string {
  const [first, ...more] = steps as [TraceStep, ...TraceStep[]];
  if (first.stored === null)
    return more.length === 0 || first.op === null ? first.what : (ASKED[first.op] ?? first.what);
  const { at, of } = first.stored;
  const bytes = steps.flatMap(({ stored }) => stored?.bytes ?? []);
  return `stores ${spell(bytes)} at ${at}${bytes.length < of ? `, ${bytes.length} of ${of} bytes` : ''}${more.length > 0 ? ', one by one' : ''}`;
}

const joins = (a: TraceStep, b: TraceStep): boolean =>
  a.who < 0 &&
  b.who < 0 &&
  a.step >= 0 &&
  a.step === b.step &&
  a.update === b.update &&
  (a.stored === null
    ? b.stored === null && (a.op !== b.op) === asks(a.op)
    : b.stored !== null && b.stored.address === a.stored.address + a.stored.bytes.length);

export function rowsOf({ steps, crux }: Trace): Row[] {
  const groups: TraceStep[][] = [];
  let at = -1;
  steps.forEach((step, i) => {
    if (step.minor && i !== crux && i < steps.length - 1) return;
    const group = groups.at(-1);
    if (group !== undefined && joins(group.at(-1) as TraceStep, step)) group.push(step);
    else groups.push([step]);
    if (i === crux) at = groups.length - 1;
  });
  const other = groups.findLastIndex(
    (group, i) => i < at && group[0]?.who !== groups[at]?.[0]?.who,
  );
  let before = steps[0]?.site ?? [];
  return groups.map((group, i) => {
    const { who, why, step, event, answer } = group[0] as TraceStep;
    const { site, fetched } = group.at(-1) as TraceStep;
    const changed = site.map((byte, at) => byte !== before[at]);
    before = site;
    return {
      who,
      what: printable(together(group)),
      why: step < 0 || why === null ? null : printable(why),
      step,
      site,
      changed,
      fetched,
      event,
      answer,
      culprit: i === at || i === other,
    };
  });
}

function wrap(text: string, room: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= room)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(lines.length === 0 ? word : `  ${word}`);
  }
  return lines;
}

/** A reason is told with the first row of its step that is shown. */
function linesOf(rows: readonly Row[], left: ReadonlySet<Row>, room: number): Laid['lines'] {
  const lines: { row: Row | null; text: string[] }[] = [];
  const told = new Set<number>();
  let missing = 0;
  for (const row of rows) {
    if (left.has(row)) {
      if (missing++ > 0) lines.pop();
      lines.push({ row: null, text: [`(${missing} step${missing > 1 ? 's' : ''} not shown)`] });
      continue;
    }
    missing = 0;
    lines.push({
      row,
      text: wrap(
        row.why === null || told.has(row.step) ? row.what : `${row.what}: ${row.why}`,
        room,
      ),
    });
    told.add(row.step);
  }
  return lines;
}

interface Laid {
  readonly title: string;
  /** -1 the patcher, then the CPUs that are in the picture. */
  readonly lanes: readonly number[];
  /** `row` is null for a line that only says how many steps are left out. */
  readonly lines: readonly { readonly row: Row | null; readonly text: readonly string[] }[];
  readonly end: readonly string[];
}

const LEFT = (bytes: number): number => Math.max(4, 3 * bytes) + 2;
const NAMES = (lane: number): string => (lane < 0 ? 'patcher' : `CPU ${lane}`);
const WIDTH = (lane: number): number => NAMES(lane).length + 2;

/** What is drawn, and how its text is broken into lines. */
function lay(trace: Trace): Laid {
  const rows = rowsOf(trace);
  const cpus = [...new Set(rows.map(({ who }) => who).filter((who) => who >= 0))].sort(
    (a, b) => a - b,
  );
  const lanes = [-1, ...cpus];
  const bytes = Math.max(0, ...rows.map(({ site }) => site.length));
  const room = COLUMNS_MAX - LEFT(bytes) - lanes.reduce((sum, lane) => sum + WIDTH(lane), 0);
  const end = trace.end === null ? [] : wrap(printable(`= ${trace.end}`), COLUMNS_MAX);
  // Where there is no room for all, answers go first, then what the patcher does after the pair,
  // then its oldest, for that is known from its protocol; last what the story tells.
  const pair = rows.findLastIndex(({ culprit }) => culprit);
  const told = new Set(toldRows(rows));
  const worth = (row: Row): number => {
    const at = rows.indexOf(row);
    return (
      (told.has(row) ? 3 : row.answer ? 0 : row.who < 0 ? 1 : 2) * 2 * rows.length +
      (at > pair ? pair - at : at)
    );
  };
  const spare = rows.filter(({ culprit }) => !culprit).sort((a, b) => worth(a) - worth(b));
  const left = new Set<Row>();
  let lines = linesOf(rows, left, room);
  while (
    2 + end.length + lines.reduce((sum, { text }) => sum + text.length, 0) > LINES_MAX &&
    left.size < spare.length
  ) {
    left.add(spare[left.size] as Row);
    lines = linesOf(rows, left, room);
  }
  return { title: printable(trace.title), lanes, lines, end };
}

/**
 * The lanes of one line as characters: its own mark, the others passing by, and the join to the
 * other culprit.
 */
function marks({ lanes, lines }: Laid, i: number, first: boolean): string {
  const row = first ? lines[i]?.row : null;
  const culprits = lines.flatMap((line, at) => (line.row?.culprit ? [at] : []));
  const [from, to] = culprits as [number, number | undefined];
  const middle = (lane: number) => Math.floor(NAMES(lane).length / 2);
  let text = lanes
    .map((lane) =>
      `${' '.repeat(middle(lane))}${row?.who === lane ? (row.culprit ? '●' : '○') : '│'}`.padEnd(
        WIDTH(lane),
      ),
    )
    .join('');
  if (!first || i !== from || to === undefined) return text;
  const place = (lane: number): number =>
    lanes.slice(0, lanes.indexOf(lane)).reduce((sum, each) => sum + WIDTH(each), 0) + middle(lane);
  const [a, b] = [place(lines[from]?.row?.who as number), place(lines[to]?.row?.who as number)];
  const [low, high] = [Math.min(a, b), Math.max(a, b)];
  const line = Array.from(text.slice(low + 1, high), (sign) => (sign === '│' ? '┼' : '─')).join('');
  text =
    a < b
      ? `${text.slice(0, low)}●${line}┐${text.slice(high + 1)}`
      : `${text.slice(0, low)}┌${line}●${text.slice(high + 1)}`;
  return text;
}

const spelled = ({ site, changed }: Row): string =>
  site.map((byte, i) => `${changed[i] ? '*' : ' '}${byte.toString(16).padStart(2, '0')}`).join('');

/** At most LINES_MAX lines of at most COLUMNS_MAX columns. */
export function draw(trace: Trace): string {
  const laid = lay(trace);
  const left = LEFT(Math.max(0, ...laid.lines.map(({ row }) => row?.site.length ?? 0)));
  const body = laid.lines.flatMap(({ row, text }, i) =>
    text.map((part, n) =>
      `${(n === 0 && row !== null ? spelled(row) : '').padEnd(left)}${marks(laid, i, n === 0)}${part}`.trimEnd(),
    ),
  );
  const head =
    `${' site'.padEnd(left)}${laid.lanes.map((lane) => NAMES(lane).padEnd(WIDTH(lane))).join('')}`.trimEnd();
  return [laid.title, head, ...body, ...laid.end].join('\n');
}

/** The same picture for a page: the same rows, in the same words and lines. */
export function drawSvg(trace: Trace): string {
  const laid = lay(trace);
  const [sign, height, top] = [7.3, 20, 48];
  const bytes = Math.max(0, ...laid.lines.map(({ row }) => row?.site.length ?? 0));
  const laneAt = (lane: number): number => 24 + LEFT(bytes) * sign + 76 * laid.lanes.indexOf(lane);
  const textAt = laneAt(laid.lanes.at(-1) as number) + 48;
  const total = laid.lines.reduce((sum, { text }) => sum + text.length, 0);
  const text = (x: number, y: number, words: string, more = '') =>
    `<text x="${x.toFixed(0)}" y="${y}" xml:space="preserve"${more}>${markup(words)}</text>`;
  const out = [text(8, 18, laid.title, ' font-weight="bold"'), text(8, 38, 'site', ' fill="#555"')];
  for (const lane of laid.lanes) {
    out.push(text(laneAt(lane) - 24, 38, NAMES(lane), ' font-weight="bold"'));
    out.push(
      `<line x1="${laneAt(lane).toFixed(0)}" y1="${top - 4}" x2="${laneAt(lane).toFixed(0)}" y2="${top + total * height}" stroke="#bbb"/>`,
    );
  }
  const culprits: string[] = [];
  const over: string[] = [];
  let y = top + 12;
  for (const { row, text: parts } of laid.lines) {
    if (row !== null) {
      row.site.forEach((byte, i) =>
        out.push(
          text(
            8 + i * 3 * sign,
            y,
            byte.toString(16).padStart(2, '0'),
            row.changed[i] ? ' fill="#c00" font-weight="bold"' : ' fill="#555"',
          ),
        ),
      );
      const x = laneAt(row.who).toFixed(0);
      over.push(
        `<circle cx="${x}" cy="${y - 4}" r="5" stroke="${row.culprit ? '#c00' : '#333'}" fill="${row.culprit ? '#c00' : '#fff'}"/>`,
      );
      if (row.culprit) culprits.push(`${x} ${y - 4}`);
    }
    for (const part of parts) {
      out.push(text(textAt, y, part, row?.culprit ? ' fill="#c00"' : ''));
      y += height;
    }
  }
  const join =
    culprits.length === 2
      ? [`<path d="M${culprits.join(' L')}" stroke="#c00" stroke-width="2" fill="none"/>`]
      : [];
  laid.end.forEach((part) => {
    out.push(text(8, y + 4, part, ' font-weight="bold"'));
    y += height;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${(textAt + 66 * sign).toFixed(0)}" height="${y}" font-family="monospace" font-size="12">\n<rect width="100%" height="100%" fill="#fff"/>\n${[...out, ...join, ...over].join('\n')}\n</svg>\n`;
}

/**
 * What the sentence tells: the patcher's last step, the last fetch and the last thing that came
 * from outside.
 */
function toldRows(rows: readonly Row[]): Row[] {
  return [
    rows.findLast(({ who }) => who < 0),
    rows.findLast(({ fetched }) => fetched !== null),
    rows.findLast(({ event }) => event),
  ].filter((row) => row !== undefined);
}

/**
 * One sentence: where the patcher was, what the CPU did, what came of it; in the words of the
 * picture.
 */
export function story(trace: Trace, text: string): string {
  const rows = rowsOf(trace);
  const told = toldRows(rows).sort((a, b) => rows.indexOf(a) - rows.indexOf(b));
  const patcher = told.find(({ who }) => who < 0);
  const where =
    patcher === undefined ? 'Before the first step' : `After the patcher's step «${patcher.what}»`;
  return [
    where,
    ...told.filter(({ who }) => who >= 0).map(({ who, what }) => `CPU ${who}: ${what}`),
    printable(text),
  ].join(', ');
}
