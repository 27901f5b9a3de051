// A search for a page: in slices, so that the thread hears of a stop between two of them, with
// what is known sent as it comes. The verdicts are those of `check`, because it is the same search.

import { Fault, isFault } from '../base/fault.js';
import { explain } from '../check/explain/explain.js';
import { report } from '../check/explain/report.js';
import type { PropertyReport, RunReport } from '../check/result.js';
import { PROPERTY_NAMES, type PropertyName } from '../check/properties.js';
import { INTERRUPTED } from '../check/search/explore.js';
import { runInSlices } from '../check/search/run.js';
import { proposalFor, type Question } from './question.js';

export interface Limits {
  readonly states: number;
  readonly seconds: number;
}

/** A page has less memory than a terminal. */
export const LIMITS: Limits = { states: 4_000_000, seconds: 600 };

export interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

/** What a search says, in this order: progress, the verdict, each explanation, the end. */
export type News =
  | {
      readonly news: 'progress';
      readonly states: number;
      readonly seconds: number;
      readonly failing: readonly PropertyName[];
    }
  | { readonly news: 'verdict'; readonly report: RunReport }
  | {
      readonly news: 'explained';
      readonly property: PropertyName;
      readonly report: PropertyReport;
    }
  | { readonly news: 'done' }
  | { readonly news: 'refused'; readonly refusal: Refusal };

export interface Listener {
  tell(news: News): void;
  /** Lets messages in. */
  breathe(): Promise<void>;
  isStopped(): boolean;
}

/** Between two breaths; one costs a turn of the event loop. */
const SLICE_MS = 60;

/** One question to its end, or to a stop. */
export async function search(
  question: Question,
  limits: Limits,
  listener: Listener,
  sliceMs: number = SLICE_MS,
): Promise<void> {
  try {
    await searched(question, limits, listener, sliceMs);
    listener.tell({ news: 'done' });
  } catch (error) {
    listener.tell({ news: 'refused', refusal: refusalOf(error) });
  }
}

async function searched(
  question: Question,
  limits: Limits,
  listener: Listener,
  sliceMs: number,
): Promise<void> {
  const signal = {
    get aborted() {
      return listener.isStopped();
    },
  };
  const slices = runInSlices(proposalFor(question), question.configuration, { ...limits, signal });
  let breath = performance.now();
  let next = slices.next();
  for (; next.done !== true; next = slices.next()) {
    if (performance.now() - breath < sliceMs) continue;
    const { states, seconds, findings } = next.value;
    listener.tell({ news: 'progress', states, seconds, failing: [...findings.keys()] });
    await listener.breathe();
    breath = performance.now();
  }
  const run = next.value;
  listener.tell({ news: 'verdict', report: report(run, []) });
  for (const property of nearestFirst(run.properties)) {
    await listener.breathe();
    // What was stopped keeps its verdicts; explanations that were not made are only missing.
    if (listener.isStopped() && run.stopped !== INTERRUPTED) return;
    const explained = explain(run, property);
    if (explained !== null)
      listener.tell({ news: 'explained', property, report: { verdict: 'fails', ...explained } });
  }
}

function nearestFirst(
  properties: ReadonlyMap<PropertyName, { readonly verdict: string; readonly steps?: number }>,
): PropertyName[] {
  const stepsOf = (name: PropertyName): number => properties.get(name)?.steps ?? 0;
  return PROPERTY_NAMES.filter((name) => properties.get(name)?.verdict === 'fails').sort(
    (a, b) => stepsOf(a) - stepsOf(b),
  );
}

/** A Fault for a page; anything else is a mistake of ours and says so. */
export function refusalOf(error: unknown): Refusal {
  if (isFault(error)) {
    const { code, message, hint, at } = error;
    return { code, message: at === undefined ? message : `${at}: ${message}`, hint };
  }
  const message = error instanceof Error ? error.message : String(error);
  const memory = new Fault('no-memory', 'the page has no memory left');
  if (/memory|allocation/i.test(message))
    return {
      code: memory.code,
      message: memory.message,
      hint: 'take fewer events, passes or CPUs',
    };
  return { code: 'bug', message, hint: 'this is our mistake; please report it with the address' };
}
