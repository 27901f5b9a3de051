// A path as lanes: time runs downward, memory at the left, a lane for the patcher and one for each
// CPU. The two steps that decide are filled and joined.

import { useEffect, useRef } from 'preact/hooks';
import type { Film, Row } from '../film.js';
import { isDrawn, type Session } from '../session.js';
import { bytesAs } from '../snapshot.js';
import { Bytes, styleOf } from './bytes.jsx';

interface Props {
  readonly film: Film;
  /** Steps taken; null for a film that only stands beside another. */
  readonly at: number | null;
  readonly onGo: (to: number) => void;
  readonly name: string;
  /** Of which this is a film, or the one beside it. */
  readonly session: Session;
}

export const laneNames = (film: Film): readonly string[] => [
  'patcher',
  ...Array.from({ length: film.machine.shape.cpus }, (_, i) => `CPU ${i}`),
];

export function Time({ film, at, onGo, name, session }: Props) {
  const lanes = laneNames(film);
  const list = useRef<HTMLOListElement>(null);
  useEffect(() => {
    const rows = list.current;
    const row = rows?.querySelector(at === null ? '.culprit:last-of-type, .culprit' : '.here');
    if (rows === null || !(row instanceof HTMLElement)) return;
    const pane = rows.parentElement;
    // Not scrollIntoView, which would move the whole page on a phone.
    if (pane !== null) pane.scrollTop = row.offsetTop - pane.clientHeight / 2;
  }, [at, film]);
  return (
    <section class="pane time" aria-label={name}>
      <h2>
        {film.title}
        <small>{film.about.replace(/^site /, '')}</small>
      </h2>
      <div class="lanes scroll" style={{ '--lanes': lanes.length }} tabIndex={-1}>
        <div class="row head" aria-hidden="true">
          <span class="memory">memory</span>
          {lanes.map((lane) => (
            <span class="lane" key={lane}>
              {lane}
            </span>
          ))}
          <span class="what" />
        </div>
        <ol ref={list}>
          {film.rows.map(
            (row, i) =>
              isDrawn(row, i, at === null ? { ...session, at: -1 } : session) && (
                <Step key={i} film={film} row={row} i={i} at={at} lanes={lanes} onGo={onGo} />
              ),
          )}
        </ol>
        <End film={film} />
      </div>
    </section>
  );
}

function End({ film: { broken, end, rows } }: { readonly film: Film }) {
  if (broken !== null)
    return (
      <p class="end bad">
        <b>✕ {broken.property}</b> {broken.text.replace(`${broken.property}: `, '')}
      </p>
    );
  if (end !== null) return <p class="end good">✓ {end}</p>;
  if (rows.length === 0)
    return <p class="end">Nothing has happened yet: search, or be the scheduler.</p>;
  return null;
}

interface StepProps extends Pick<Props, 'film' | 'at' | 'onGo'> {
  readonly row: Row;
  readonly i: number;
  readonly lanes: readonly string[];
}

function Step({ film, row, i, at, lanes, onGo }: StepProps) {
  const { versions, frames, crux } = film;
  const classes = [
    'row',
    row.minor && !row.culprit ? 'minor' : '',
    row.culprit ? 'culprit' : '',
    at === i + 1 ? 'here' : '',
    at !== null && i + 1 > at ? 'later' : '',
  ];
  return (
    <li class={classes.filter(Boolean).join(' ')}>
      <button
        type="button"
        aria-current={at === i + 1 ? 'step' : undefined}
        onClick={() => onGo(i + 1)}
      >
        <span class="memory">
          <Bytes bytes={frames[i + 1]?.site ?? []} versions={versions} changed={row.changed} />
        </span>
        {lanes.map((lane, n) => (
          <span
            class={`lane ${joint(film, i, n - 1, crux)}`}
            key={lane}
            aria-hidden={row.who !== n - 1}
          >
            {row.who === n - 1 && (
              <>
                <span class={`dot${row.culprit ? ' full' : ''}${row.event ? ' event' : ''}`} />
                <span class="sr">{lane}: </span>
              </>
            )}
          </span>
        ))}
        <span class="what">
          <What film={film} row={row} />
          {isReasoned(film, i) && <small>{row.why}</small>}
        </span>
      </button>
    </li>
  );
}

/** A reason is told once for the steps that share it. */
function isReasoned({ rows }: Film, i: number): boolean {
  const row = rows[i];
  if (row === undefined || row.why === null || row.step < 0 || row.minor) return false;
  const before = rows.slice(0, i).findLast(({ who, minor }) => who < 0 && !minor);
  return before?.step !== row.step || before.update !== row.update;
}

/** What was fetched is shown as bytes; the words say what they are as an instruction. */
function What({ film, row }: { readonly film: Film; readonly row: Row }) {
  const [, fetches = '', says = ''] = /^(.*fetches) [0-9a-f ]+ \((.*)\)$/.exec(row.what) ?? [];
  if (row.whole === null || row.fetched === null || fetches === '') return <>{row.what}</>;
  const { name, letter, words } = styleOf(row.whole, film.versions);
  return (
    <>
      {fetches} <Bytes bytes={bytesAs(film.versions, row.fetched)} versions={film.versions} />{' '}
      <b class={`tag ${name}`}>
        {letter} {words}
      </b>{' '}
      {says}
    </>
  );
}

/** How the join of the two deciding steps passes a lane of a row. */
function joint(film: Film, i: number, lane: number, crux: readonly number[]): string {
  const [from, to] = crux;
  if (from === undefined || to === undefined || i < from || i > to) return '';
  const [a, b] = [film.rows[from]?.who ?? -1, film.rows[to]?.who ?? -1];
  const [low, high] = [Math.min(a, b), Math.max(a, b)];
  if (i === from) {
    if (lane < low || lane > high) return '';
    if (lane === b) return a < b ? 'corner-left' : 'corner-right';
    if (lane === a) return a < b ? 'out-right' : 'out-left';
    return 'across';
  }
  if (lane !== b) return '';
  return i === to ? 'arrive' : 'down';
}
