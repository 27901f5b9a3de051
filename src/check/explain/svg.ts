// The picture of timeline.ts for a page or a document: the same rows in the same words, with a
// heading and a legend; two of them side by side where a schedule is shown under another protocol.
// No font is known beforehand, so each piece of text says how wide it is (textLength), and the
// width of the whole follows from that: nothing can be cut off.

import { columnsOf, markup, printable } from '../../base/printable.js';
import { lay, nameOf, wrap, type Laid, type Room, type Row } from './timeline.js';
import type { Trace } from './trace.js';

export interface Panel {
  /** The protocol, and what came of it. */
  readonly heading: string;
  /** The two that decide are drawn as what went wrong. */
  readonly broken: boolean;
  readonly trace: Trace;
}

/** Pixels: of a character, between lines, between lanes, around everything. */
const [SIGN, LINE, LANE, EDGE] = [7.8, 20, 66, 16];
/** Half of what is between two panels. */
const GAP = 20;
const ALONE: Room = { columns: 100, lines: 15 };
/** Two beside each other are narrow, and as much higher. */
const BESIDE: Room = { columns: 74, lines: 26 };

/** Colours of light and dark pages; a changed byte has a star too, a culprit is filled. */
const STYLE = `
text { font: 13px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; fill: #1f2328; }
.paper { fill: #ffffff; }
.heading { font-size: 15px; font-weight: bold; }
.name, .end { font-weight: bold; }
.faint { fill: #59636e; }
.lane { stroke: #afb8c1; }
.bad { fill: #c1121f; }
.good { fill: #0550ae; }
.changed { fill: #c1121f; font-weight: bold; }
.step { stroke: #1f2328; fill: #ffffff; }
.culprit { stroke: #c1121f; fill: #c1121f; }
.pair { stroke: #0550ae; fill: #0550ae; }
.join { stroke-width: 2; fill: none; }
.join.bad { stroke: #c1121f; fill: none; }
.join.good { stroke: #0550ae; fill: none; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .paper { fill: #0d1117; }
  .faint { fill: #9198a1; }
  .lane { stroke: #4b535d; }
  .bad, .changed { fill: #ff8182; }
  .step { stroke: #e6edf3; fill: #0d1117; }
  .good { fill: #79c0ff; }
  .culprit { stroke: #ff8182; fill: #ff8182; }
  .pair { stroke: #79c0ff; fill: #79c0ff; }
  .join.bad { stroke: #ff8182; fill: none; }
  .join.good { stroke: #79c0ff; fill: none; }
}
`;

interface Drawn {
  readonly marks: readonly string[];
  readonly width: number;
  readonly height: number;
}

/** Marks at places, and how far they reach. */
class Sheet {
  readonly #marks: string[] = [];
  #width = 0;
  #height = 0;

  text(x: number, y: number, words: string, kind = '', sign = SIGN): void {
    if (words === '') return;
    const length = columnsOf(printable(words)) * sign;
    this.#reach(x + length, y + 5);
    this.#marks.push(
      `<text x="${tenth(x)}" y="${y}" textLength="${tenth(length)}" lengthAdjust="spacingAndGlyphs"` +
        ` xml:space="preserve"${kind && ` class="${kind}"`}>${markup(words)}</text>`,
    );
  }
  line(x: number, from: number, to: number): void {
    this.#reach(x, to);
    this.#marks.push(`<line class="lane" x1="${x}" y1="${from}" x2="${x}" y2="${to}"/>`);
  }
  dot(x: number, y: number, kind: 'step' | 'culprit' | 'pair'): void {
    this.#reach(x + 6, y + 6);
    this.#marks.push(`<circle class="${kind}" cx="${x}" cy="${y}" r="5"/>`);
  }
  path(d: string, kind: 'bad' | 'good'): void {
    this.#marks.push(`<path class="join ${kind}" d="${d}"/>`);
  }
  /** Another sheet, moved. */
  put({ marks, width, height }: Drawn, x: number, y: number): void {
    this.#reach(x + width, y + height);
    this.#marks.push(`<g transform="translate(${tenth(x)} ${tenth(y)})">`, ...marks, '</g>');
  }
  done(): Drawn {
    return { marks: this.#marks, width: this.#width, height: this.#height };
  }
  #reach(x: number, y: number): void {
    this.#width = Math.max(this.#width, x);
    this.#height = Math.max(this.#height, y);
  }
}

const tenth = (value: number): string => String(Math.round(value * 10) / 10);

/** A byte takes three characters, the first of which says whether it changed. */
function drawBytes(sheet: Sheet, { site, changed }: Row, y: number): void {
  for (const [i, byte] of site.entries()) {
    const hex = byte.toString(16).padStart(2, '0');
    sheet.text(
      i * 3 * SIGN,
      y,
      changed[i] ? `*${hex}` : ` ${hex}`,
      changed[i] ? 'changed' : 'faint',
    );
  }
}

function drawPanel({ heading, broken, trace }: Panel, room: Room): Drawn {
  const sheet = new Sheet();
  const laid = lay(trace, room);
  let y = LINE;
  sheet.text(0, y, printable(heading), 'heading', SIGN * 1.15);
  for (const part of wrap(laid.title, room.columns)) sheet.text(0, (y += LINE), part, 'faint');
  y += LINE * 1.5;
  const places = placesOf(laid);
  sheet.text(SIGN, y, 'site', 'name');
  for (const [lane, x] of places.lanes)
    sheet.text(x - (nameOf(lane).length * SIGN) / 2, y, nameOf(lane), 'name');
  y = drawRows(sheet, laid, places, { top: y, broken });
  y += LINE / 2;
  for (const part of laid.end) sheet.text(0, (y += LINE), part, 'end');
  return sheet.done();
}

interface Places {
  readonly lanes: ReadonlyMap<number, number>;
  readonly text: number;
}

function placesOf({ lanes, lines }: Laid): Places {
  const bytes = Math.max(1, ...lines.map(({ row }) => row?.site.length ?? 0));
  const first = Math.round(bytes * 3 * SIGN + LANE * 0.75);
  const at = new Map(lanes.map((lane, i) => [lane, first + i * LANE]));
  return { lanes: at, text: first + lanes.length * LANE - LANE / 2 };
}

/** @returns where the last row is */
function drawRows(
  sheet: Sheet,
  { lines }: Laid,
  { lanes, text: textAt }: Places,
  { top, broken }: { readonly top: number; readonly broken: boolean },
): number {
  const total = lines.reduce((sum, { text }) => sum + text.length, 0);
  for (const x of lanes.values()) sheet.line(x, top + 8, top + total * LINE + 8);
  const dots = new Sheet();
  const culprits: { readonly x: number; readonly y: number }[] = [];
  let y = top;
  for (const { row, text } of lines) {
    const first = y + LINE;
    if (row !== null) {
      drawBytes(sheet, row, first);
      const place = { x: lanes.get(row.who) ?? 0, y: first - 4 };
      dots.dot(place.x, place.y, dotOf(row, broken));
      if (row.culprit) culprits.push(place);
    }
    for (const part of text) sheet.text(textAt, (y += LINE), part, kindOf(row, broken));
  }
  const [from, to] = culprits;
  if (from && to) sheet.path(`M${from.x} ${from.y} H${to.x} V${to.y}`, broken ? 'bad' : 'good');
  sheet.put(dots.done(), 0, 0);
  return y;
}

function kindOf(row: Row | null, broken: boolean): string {
  if (row === null) return 'faint';
  if (!row.culprit) return '';
  return broken ? 'bad' : 'good';
}

function dotOf({ culprit }: Row, broken: boolean): 'step' | 'culprit' | 'pair' {
  if (!culprit) return 'step';
  return broken ? 'culprit' : 'pair';
}

/** What the signs mean, in one line. */
function legend(): Drawn {
  const sheet = new Sheet();
  let x = 0;
  const words = (text: string, kind = 'faint'): void => {
    sheet.text(x, LINE, text, kind);
    x += columnsOf(text) * SIGN;
  };
  const dot = (kind: 'step' | 'culprit'): void => {
    sheet.dot(x + 6, LINE - 4, kind);
    x += 18;
  };
  words('time runs downward    ');
  dot('step');
  words('a step    ');
  dot('culprit');
  words('one of the two that decide    ');
  words('*08', 'changed');
  words(' a byte that changed');
  return sheet.done();
}

/** One schedule, or two of them side by side. */
export function drawSvg(...panels: readonly Panel[]): string {
  const room = panels.length > 1 ? BESIDE : ALONE;
  const sheet = new Sheet();
  let x = EDGE;
  for (const panel of panels) {
    const drawn = drawPanel(panel, room);
    sheet.put(drawn, x, 8);
    x += drawn.width + 2 * GAP;
  }
  sheet.put(legend(), EDGE, sheet.done().height + 8);
  const { marks, width, height } = sheet.done();
  const [w, h] = [Math.ceil(width + EDGE), Math.ceil(height + 8)];
  const title = panels.map(({ heading }) => heading).join('; ');
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${w}" height="${h}" viewBox="0 0 ${w} ${h}" role="img">
<title>${markup(title)}</title>
<style>${STYLE}</style>
<rect class="paper" width="${w}" height="${h}"/>
${marks.join('\n')}
</svg>
`;
}
