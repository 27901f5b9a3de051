// What the page shows, as one value, and what each thing that a person does makes of it. No
// drawing and no thread is here: the page performs `wants` and draws the rest.

import type { PropertyName } from '../check/properties.js';
import { PROPERTIES } from '../check/properties.js';
import type { RunReport } from '../check/result.js';
import { decodeToken, encodeToken } from '../check/explain/token.js';
import type { Configuration } from '../check/configuration.js';
import type { Choice } from '../check/search/expand.js';
import type { Step } from '../plan/protocol.js';
import { findProposal, PROPOSALS } from '../zoo/index.js';
import { decodeAddress, encodeAddress } from './address.js';
import {
  ahead,
  cutTo,
  extended,
  filmOf,
  filmOfToken,
  filmUnder,
  type Ahead,
  type Film,
  type Row,
} from './film.js';
import { ask, changed, edited, proposalFor, questionOf, typed, type Question } from './question.js';
import { refusalOf, type News, type Refusal } from './search.js';

export interface Searching {
  readonly states: number;
  readonly seconds: number;
  readonly failing: readonly PropertyName[];
  /** The verdict is there; explanations are made. */
  readonly explaining: boolean;
}

export interface Session {
  readonly question: Question;
  /** The last verdict on the question; null once the question has changed. */
  readonly report: RunReport | null;
  readonly searching: Searching | null;
  /** Which failure is shown. */
  readonly shown: PropertyName | null;
  readonly film: Film;
  /** How many steps have been taken of it. */
  readonly at: number;
  /** The other protocol, and the same schedule under it. */
  readonly under: string | null;
  readonly beside: Film | null;
  /** The person chooses each step. */
  readonly scheduling: boolean;
  readonly ahead: Ahead | null;
  readonly refusal: Refusal | null;
  /** Nothing was asked yet: the first visit. */
  readonly first: boolean;
}

export type Action =
  | { readonly do: 'open'; readonly fragment: string }
  | {
      readonly do: 'choose';
      readonly name: string;
      readonly environment: Configuration['environment'];
    }
  | { readonly do: 'configure'; readonly given: Partial<Configuration> }
  | { readonly do: 'edit'; readonly steps: readonly Step[] }
  | { readonly do: 'type'; readonly text: string }
  | { readonly do: 'search' }
  | { readonly do: 'news'; readonly news: News }
  | { readonly do: 'show'; readonly property: PropertyName }
  | { readonly do: 'go'; readonly to: number }
  /** To the next step that is drawn, or the one before. */
  | { readonly do: 'step'; readonly by: 1 | -1 }
  | { readonly do: 'crux' }
  | { readonly do: 'compare'; readonly under: string | null }
  | { readonly do: 'schedule'; readonly on: boolean }
  | { readonly do: 'move'; readonly choice: Choice }
  | { readonly do: 'undo' }
  | { readonly do: 'follow'; readonly path: readonly Choice[] }
  | { readonly do: 'look' }
  | { readonly do: 'refuse'; readonly refusal: Refusal }
  | { readonly do: 'forgive' };

/** States that are looked at in one go. */
const AHEAD_MOST = 1500;

/** The page as it opens: what its address says, or the example. */
export function begin(fragment: string, example: string): Session {
  const film = filmOf(example);
  const session = atCrux({
    question: questionOf(film.token),
    report: null,
    searching: null,
    shown: null,
    film,
    at: 0,
    under: 'int3',
    beside: null,
    scheduling: false,
    ahead: null,
    refusal: null,
    first: true,
  });
  const start = { ...session, beside: filmUnder(film, 'int3') };
  return fragment === '' ? start : reduce(start, { do: 'open', fragment });
}

/** A mistake of a person changes nothing but what the page says of it. */
export function reduce(session: Session, action: Action): Session {
  try {
    // What a search says is no answer to an older mistake.
    return apply(action.do === 'news' ? session : { ...session, refusal: null }, action);
  } catch (error) {
    return { ...session, refusal: refusalOf(error) };
  }
}

function apply(session: Session, action: Action): Session {
  switch (action.do) {
    case 'open':
      return opened(session, action.fragment);
    case 'choose':
      return asked(session, chosen(session, action.name, action.environment));
    case 'configure':
      return asked(session, changed(session.question, action.given));
    case 'edit':
      return asked(session, edited(session.question, action.steps));
    case 'type':
      return asked(session, typed(session.question, action.text));
    case 'search':
      return { ...session, report: null, shown: null, searching: STARTED, first: false };
    case 'news':
      return heard(session, action.news);
    case 'show':
      return shown(session, action.property);
    case 'go':
      return { ...session, at: Math.max(0, Math.min(action.to, session.film.rows.length)) };
    case 'step':
      return { ...session, at: drawnFrom(session, action.by) };
    case 'crux':
      return atCrux(session);
    case 'compare':
      return compared(session, action.under);
    case 'schedule':
      return scheduled(session, action.on);
    case 'move':
      return atEnd(session, extended(upTo(session), action.choice));
    case 'undo':
      return atEnd(session, cutTo(session.film, Math.max(0, session.at - 1)));
    case 'follow': {
      const { token } = upTo(session);
      return atEnd(session, filmOfToken({ ...token, path: [...token.path, ...action.path] }));
    }
    case 'look':
      return { ...session, ahead: ahead(upTo(session), AHEAD_MOST) };
    case 'refuse':
      return { ...session, refusal: action.refusal, searching: null };
    case 'forgive':
      return session;
  }
}

const STARTED: Searching = { states: 0, seconds: 0, failing: [], explaining: false };

function chosen(
  { question }: Session,
  name: string,
  environment: Configuration['environment'],
): Question {
  const [protocol = name, variant = ''] = name.split('/');
  return ask(findProposal(protocol, variant, environment), question.configuration);
}

/** Another question: what was found is an answer to the old one. */
function asked(session: Session, question: Question): Session {
  const film = filmOfToken(emptyToken(question));
  return {
    ...session,
    question,
    film,
    at: 0,
    report: null,
    searching: null,
    shown: null,
    under: null,
    beside: null,
    scheduling: false,
    ahead: null,
    first: false,
  };
}

/** Where nothing has happened yet; the machine is refused here if it cannot be. */
function emptyToken(question: Question): Film['token'] {
  const { name: protocol, variant } = proposalFor(question);
  const { configuration, own } = question;
  return { protocol, variant, property: '', configuration, split: true, own, path: [] };
}

function opened(session: Session, fragment: string): Session {
  const { token: text, at, under } = decodeAddress(fragment);
  const token = decodeToken(text);
  const film = filmOfToken(token);
  const next: Session = {
    ...session,
    question: questionOf(token),
    film,
    report: null,
    searching: null,
    shown: null,
    under: null,
    beside: null,
    // A path that breaks nothing was chosen step by step.
    scheduling: film.broken === null && token.path.length > 0,
    ahead: null,
    first: false,
  };
  const placed = at === null ? atCrux(next) : { ...next, at: Math.min(at, film.rows.length) };
  return under === null ? placed : compared(placed, under);
}

/** The address of what is seen. */
export function addressOf({ film, at, under }: Session): string {
  return encodeAddress({ token: encodeToken(film.token), at, under });
}

function heard(session: Session, news: News): Session {
  if (session.searching === null) return session;
  switch (news.news) {
    case 'progress': {
      const { states, seconds, failing } = news;
      return { ...session, searching: { ...session.searching, states, seconds, failing } };
    }
    case 'verdict':
      return {
        ...session,
        report: news.report,
        searching: { ...session.searching, explaining: true },
      };
    case 'explained':
      return explained(session, news.property, news.report);
    case 'done':
      return { ...session, searching: null };
    case 'refused':
      return { ...session, searching: null, refusal: news.refusal };
  }
}

function explained(
  session: Session,
  property: PropertyName,
  report: RunReport['properties'][PropertyName],
): Session {
  if (session.report === null) return session;
  const known = {
    ...session,
    report: {
      ...session.report,
      properties: {
        ...session.report.properties,
        [property]: { ...session.report.properties[property], ...report },
      },
    },
  };
  const decides = PROPERTIES.some(({ name, apart }) => name === property && !apart);
  // The first one that makes the answer "no" comes into the middle by itself.
  return session.shown === null && decides && !session.scheduling ? shown(known, property) : known;
}

function shown(session: Session, property: PropertyName): Session {
  const path = session.report?.properties[property].path;
  if (path === undefined) return session;
  const film = filmOf(path);
  const next = atCrux({ ...session, shown: property, film, scheduling: false, ahead: null });
  return compared(next, session.under);
}

/** Steps of little interest are drawn only for a person who chooses each. */
export const isDrawn = ({ minor, culprit }: Row, i: number, { scheduling, at }: Session): boolean =>
  !minor || culprit || scheduling || at === i + 1;

function drawnFrom(session: Session, by: 1 | -1): number {
  const { rows } = session.film;
  for (let at = session.at + by; at > 0 && at < rows.length; at += by) {
    const row = rows[at - 1];
    if (row !== undefined && isDrawn(row, at - 1, { ...session, at: -1 })) return at;
  }
  return by > 0 ? rows.length : 0;
}

function atCrux(session: Session): Session {
  const { crux, rows } = session.film;
  return { ...session, at: (crux.at(-1) ?? rows.length - 1) + 1 };
}

/** A protocol that cannot be compared is left out, such as one of the other environment. */
function compared(session: Session, under: string | null): Session {
  if (under === null || session.film.rows.length === 0)
    return { ...session, under: null, beside: null };
  return { ...session, under, beside: filmUnder(session.film, under) };
}

/** Protocols that a schedule can be seen under. */
export const comparable = ({ film }: Session): readonly string[] =>
  PROPOSALS.filter(
    ({ environment, variant }) =>
      environment === film.token.configuration.environment && variant === '',
  )
    .map(({ name }) => name)
    .filter((name) => name !== film.title);

function scheduled(session: Session, on: boolean): Session {
  if (!on) return { ...session, scheduling: false, ahead: null };
  return { ...atEnd(session, upTo(session)), scheduling: true, under: null, beside: null };
}

/** The film cut to where the person stands. */
const upTo = ({ film, at }: Session): Film => (at === film.rows.length ? film : cutTo(film, at));

const atEnd = (session: Session, film: Film): Session => ({
  ...session,
  film,
  at: film.rows.length,
  under: null,
  beside: null,
  shown: null,
  ahead: null,
});
