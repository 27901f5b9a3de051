// A trace as lanes: time runs downward, the site's bytes at the left with the changed ones marked,
// one lane for the patcher and one for each CPU, beside them what was done and, for a protocol's
// step, why. The two steps that cause the failure are filled and joined. Consecutive steps of the
// patcher are one row; where there are more rows than room, some are counted and not shown.

import { printable } from '../../base/printable.js';
import type { Op } from '../../machine/sim/patcher.js';
import { spell, type Trace } from './trace.js';
import type { TraceStep } from '../result.js';

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
  /** One of the pair: the crux, and the last step before it on another lane. */
  readonly culprit: boolean;
}

/**
 * How an operation that asks the CPUs for something is reported together with the one that waits
 * for their answers; null where an operation is only reported together with more of its own kind.
 */
const ASKED: Readonly<Record<Op['op'], string | null>> = {
  ask: 'asks every thread, and all have answered',
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
function together([first, ...more]: Group): string {
  if (first.stored === null)
    return more.length === 0 || first.op === null ? first.what : (ASKED[first.op] ?? first.what);
  const { at, of } = first.stored;
  const bytes = [first, ...more].flatMap(({ stored }) => stored?.bytes ?? []);
  const part = bytes.length < of ? `, ${bytes.length} of ${of} bytes` : '';
  return `stores ${spell(bytes)} at ${at}${part}${more.length > 0 ? ', one by one' : ''}`;
}

/** Whether a step of the patcher goes into one row with the one before it. */
function joins(a: TraceStep, b: TraceStep): boolean {
  const sameStep =
    a.who < 0 && b.who < 0 && a.step >= 0 && a.step === b.step && a.update === b.update;
  if (!sameStep) return false;
  if (a.stored !== null || b.stored !== null) return b.stored?.address === endOf(a.stored);
  // A request joins the wait for its answers; any other operation joins only its like.
  return asks(a.op) ? a.op !== b.op : a.op === b.op;
}

const endOf = (stored: TraceStep['stored']): number | null =>
  stored === null ? null : stored.address + stored.bytes.length;

/** Steps that are one row. */
type Group = readonly [TraceStep, ...TraceStep[]];

/** The steps that are shown, each with those that join it, and the group of the crux. */
function groupsOf({ steps, crux }: Trace): {
  readonly groups: readonly Group[];
  readonly at: number;
} {
  const groups: Group[] = [];
  let at = -1;
  for (const [i, step] of steps.entries()) {
    if (step.minor && i !== crux && i < steps.length - 1) continue;
    const group = groups.at(-1);
    const last = group?.at(-1);
    if (group !== undefined && last !== undefined && joins(last, step))
      groups[groups.length - 1] = [...group, step];
    else groups.push([step]);
    if (i === crux) at = groups.length - 1;
  }
  return { groups, at };
}

export function rowsOf(trace: Trace): Row[] {
  const { groups, at } = groupsOf(trace);
  const other = groups.findLastIndex(([{ who }], i) => i < at && who !== groups[at]?.[0].who);
  let before = trace.steps[0]?.site ?? [];
  return groups.map((group, i) => {
    const [{ who, why, step, event, answer }] = group;
    const { site, fetched } = group.at(-1) ?? group[0];
    const old = before;
    before = site;
    return {
      who,
      what: printable(together(group)),
      why: step < 0 || why === null ? null : printable(why),
      step,
      site,
      changed: site.map((byte, place) => byte !== old[place]),
      fetched,
      event,
      answer,
      culprit: i === at || i === other,
    };
  });
}

export function wrap(text: string, room: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= room)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(lines.length === 0 ? word : `  ${word}`);
  }
  return lines;
}

/** A reason is shown with the first row of its step that is shown. */
function linesOf(rows: readonly Row[], left: ReadonlySet<Row>, room: number): Laid['lines'] {
  const lines: { row: Row | null; text: string[] }[] = [];
  const explained = new Set<number>();
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
        row.why === null || explained.has(row.step) ? row.what : `${row.what}: ${row.why}`,
        room,
      ),
    });
    explained.add(row.step);
  }
  return lines;
}

export interface Laid {
  readonly title: string;
  /** -1 the patcher, then the CPUs that are in the picture. */
  readonly lanes: readonly number[];
  /** `row` is null for a line that only says how many steps are left out. */
  readonly lines: readonly { readonly row: Row | null; readonly text: readonly string[] }[];
  readonly end: readonly string[];
}

const LEFT = (bytes: number): number => Math.max(4, 3 * bytes) + 2;
export const nameOf = (lane: number): string => (lane < 0 ? 'patcher' : `CPU ${lane}`);
const WIDTH = (lane: number): number => nameOf(lane).length + 2;

/** Room for a picture, in characters. */
export interface Room {
  readonly columns: number;
  readonly lines: number;
}
const ROOM: Room = { columns: COLUMNS_MAX, lines: LINES_MAX };

/** What is drawn, and how its text is broken into lines. */
export function lay(trace: Trace, { columns, lines: most }: Room = ROOM): Laid {
  const rows = rowsOf(trace);
  const cpus = new Set(rows.map(({ who }) => who).filter((who) => who >= 0));
  const lanes = [-1, ...[...cpus].sort((a, b) => a - b)];
  const bytes = Math.max(0, ...rows.map(({ site }) => site.length));
  const room = columns - LEFT(bytes) - lanes.reduce((sum, lane) => sum + WIDTH(lane), 0);
  const end = trace.end === null ? [] : wrap(printable(`= ${trace.end}`), columns);
  const left = new Set<Row>();
  let lines = linesOf(rows, left, room);
  for (const row of spareRows(rows)) {
    const height = lines.reduce((sum, { text }) => sum + text.length, 0);
    if (2 + end.length + height <= most) break;
    left.add(row);
    lines = linesOf(rows, left, room);
  }
  return { title: printable(trace.title), lanes, lines, end };
}

/**
 * What may be left out where there is no room for all, in this order: answers, what the patcher
 * does after the pair, then its oldest steps, which are known from its protocol, and last what the
 * story says.
 */
function spareRows(rows: readonly Row[]): Row[] {
  const pair = rows.findLastIndex(({ culprit }) => culprit);
  const inStory = new Set(storyRows(rows));
  const rank = (row: Row): number => {
    if (inStory.has(row)) return 3;
    if (row.answer) return 0;
    return row.who < 0 ? 1 : 2;
  };
  const worth = new Map(
    rows.map((row, at) => [row, rank(row) * 2 * rows.length + (at > pair ? pair - at : at)]),
  );
  return rows
    .filter(({ culprit }) => !culprit)
    .sort((a, b) => (worth.get(a) ?? 0) - (worth.get(b) ?? 0));
}

/**
 * The lanes of one line as characters: its own mark, the others passing by, and the join to the
 * other culprit.
 */
function marks({ lanes, lines }: Laid, i: number, first: boolean): string {
  const row = first ? lines[i]?.row : null;
  const culprits = lines.flatMap(({ row: each }, at) =>
    each?.culprit ? [{ at, lane: each.who }] : [],
  );
  const [from, to] = culprits;
  const middle = (lane: number) => Math.floor(nameOf(lane).length / 2);
  const own = row?.culprit ? '●' : '○';
  const text = lanes
    .map((lane) =>
      `${' '.repeat(middle(lane))}${row?.who === lane ? own : '│'}`.padEnd(WIDTH(lane)),
    )
    .join('');
  if (!first || from === undefined || i !== from.at || to === undefined) return text;
  const place = (lane: number): number =>
    lanes.slice(0, lanes.indexOf(lane)).reduce((sum, each) => sum + WIDTH(each), 0) + middle(lane);
  const [a, b] = [place(from.lane), place(to.lane)];
  const [low, high] = [Math.min(a, b), Math.max(a, b)];
  const line = Array.from(text.slice(low + 1, high), (sign) => (sign === '│' ? '┼' : '─')).join('');
  const [left, right] = a < b ? ['●', '┐'] : ['┌', '●'];
  return `${text.slice(0, low)}${left}${line}${right}${text.slice(high + 1)}`;
}

const spelled = ({ site, changed }: Row): string =>
  site.map((byte, i) => `${changed[i] ? '*' : ' '}${byte.toString(16).padStart(2, '0')}`).join('');

/** At most LINES_MAX lines of at most COLUMNS_MAX columns. */
export function draw(trace: Trace): string {
  const laid = lay(trace);
  const left = LEFT(Math.max(0, ...laid.lines.map(({ row }) => row?.site.length ?? 0)));
  const body = laid.lines.flatMap(({ row, text }, i) =>
    text.map((part, n) => {
      const site = n === 0 && row !== null ? spelled(row) : '';
      return `${site.padEnd(left)}${marks(laid, i, n === 0)}${part}`.trimEnd();
    }),
  );
  const names = laid.lanes.map((lane) => nameOf(lane).padEnd(WIDTH(lane)));
  const head = `${' site'.padEnd(left)}${names.join('')}`.trimEnd();
  return [laid.title, head, ...body, ...laid.end].join('\n');
}

/**
 * What the sentence reports: the patcher's last step, the last fetch and the last thing that came
 * from outside.
 */
function storyRows(rows: readonly Row[]): Row[] {
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
  const reported = storyRows(rows).sort((a, b) => rows.indexOf(a) - rows.indexOf(b));
  const patcher = reported.find(({ who }) => who < 0);
  const where =
    patcher === undefined ? 'Before the first step' : `After the patcher's step «${patcher.what}»`;
  return [
    where,
    ...reported.filter(({ who }) => who >= 0).map(({ who, what }) => `CPU ${who}: ${what}`),
    printable(text),
  ].join(', ');
}
