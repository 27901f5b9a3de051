// docs/verdicts.md and docs/counterexamples.md out of runs: the answers, the tables, the questions
// of the kernel's developers with what the search says to each, and a picture for every way to
// fail. No verdict is written here; the text only says what is asked and who asked it.

import { keyOf, titleOf } from '../configuration.js';
import type { Pages, RunReport } from '../result.js';
import { PROPERTIES } from '../properties.js';
import { findProposal, PROPOSALS } from '../../zoo/index.js';
import { answers } from './answers.js';
import { FORM_HEAD, formJobs, formRows } from './forms.js';
import type { Job } from './asked.js';
import {
  ENDLESS_STATES,
  endlessJob,
  holds,
  isDefault,
  matrixJobs,
  weakestModel,
} from './matrix.js';
import { answer, beside, failed, failedApart, grid, Page } from './page.js';
import { QUESTIONS } from './questions.js';

export function documentJobs(): Job[] {
  const counted = [...matrixJobs(), ...formJobs(), ...QUESTIONS.flatMap(({ jobs }) => jobs())];
  const rows = counted.map((each) => ({ ...each, ...each.configuration })).filter(isRow);
  const all = [...counted, ...rows.flatMap((row) => endlessOf(row) ?? [])];
  return [...new Map(all.map((each) => [keyOf(each, each.configuration), each])).values()];
}

/** Whether it is in the table of every protocol. */
const isRow = (run: Parameters<typeof isDefault>[0] & Parameters<typeof titleOf>[0]): boolean =>
  isDefault(run) && !FULL.has(titleOf(run));

/** A row of the table without bounds. */
function endlessOf({
  protocol,
  variant,
  environment,
  contexts,
}: Pick<RunReport, 'protocol' | 'variant' | 'environment' | 'contexts'>): Job | null {
  return endlessJob(findProposal(protocol, variant, environment), contexts);
}

/** Reported in a section of their own. */
const FULL: ReadonlySet<string> = new Set(
  PROPOSALS.filter(({ full }) => full).map(({ name: protocol, variant }) =>
    titleOf({ protocol, variant }),
  ),
);

/** @throws when a run that a page needs is missing: it is never filled with a guess. */
export function document(runs: readonly RunReport[]): Pages {
  const page = new Page(runs);
  const main = runs.filter(isRow).sort((a, b) => order(a).localeCompare(order(b)));
  for (const run of main) for (const name of failed(run)) page.picture(run, name, '');
  const verdicts = [
    `# Verdicts\n\n${GENERATED}`,
    `## The answers\n\n${answers(page)}`,
    `## Bounds\n\n${bounds()}`,
    `## Every protocol\n\n${everyProtocol(main, page)}`,
    `## The least that the hardware must promise\n\n${LEAST}\n\n${leastTable(main, runs)}`,
    `## Every form of site\n\n${FORMS}\n\n${grid(
      FORM_HEAD,
      formRows((each) => answer(page.of(each))),
    )}`,
    '## What was asked\n\n' +
      'An answer that names a property leads to the picture of its shortest counterexample.',
    ...QUESTIONS.map(
      ({ title, text, head, rows }) => `### ${title}\n\n${text}\n\n${grid(head, rows(page))}`,
    ),
  ].join('\n\n');
  return {
    'verdicts.md': `${verdicts}\n`,
    'counterexamples.md': `# Counterexamples\n\n${COUNTEREXAMPLES}\n\n${page.pictures()}\n`,
  };
}

const GENERATED = `Written by \`node scripts/verdicts.mjs\` from the runs of \`static-call check\`; a test makes the
page again and compares. Only the questions were written by hand: every verdict, story and
assumption is what the runs said.`;

const FORMS = `What compilers and linkers make of a call: \`call\` and \`jmp\` of five bytes, of six where a call
through the GOT was relaxed, and clang's conditional tail call, whose handler must read the saved
flags. Each goes from function to function, from nothing to a function and back, and from "return 0"
to a function and back; maskable interrupts or signals, two updates. *Not emulated*: the handler that
was proposed knows five bytes and no condition (Linux's own has known both since 6.3, ac0ee0a9560c).`;

const COUNTEREXAMPLES = `Generated with [verdicts.md](verdicts.md), whose answers lead here. Time
runs downward. A star marks a byte that changed; the line connects the two steps that cause the
failure. Fetch level F3 where nothing else is said.`;

const LEAST = `The first model of this list under which a protocol holds, from the one in which the
hardware promises least: F4 by byte (to run bytes that changed is itself an error, except for
int3), F3 by byte, quadword, 16 bytes, 32 bytes, line, then F1 in any order by byte, F1 by line,
and F0 (a whole instruction at one instant). One update, maskable interrupts or signals.`;

function bounds(): string {
  const apart = PROPERTIES.filter((each) => each.apart).map(({ name }) => `\`${name}\``);
  const names = new Intl.ListFormat('en', { type: 'conjunction' }).format(apart);
  return `Every line is *checked* within its bounds: two CPUs (one where the table says so), the passes and
updates in the table, at most 2 NMIs and 1 machine check, one interrupt at a time on each CPU. Where
nothing else is said: fetch level F3 (a CPU may use any version of a byte that was there since it
last serialised), single bytes, stores atomic within a line, TSO store buffers, sites that call. A
verdict names the properties that fail; ${names} are
reported apart, in the last column.

*Any number* is what the search says with any number of CPUs, passes, updates and events
([proof.md](proof.md)): *proved*, or the properties that fail, or *holds* within what was counted all
the same. *Open* is a search that met more than ${count(ENDLESS_STATES)} states; what it had found by
then is named. *Counts up* is a protocol of which something does, so that no search would close.

No protocol but \`stop-machine\` promises that all CPUs switch at one instant, and none is judged
by it.`;
}

function everyProtocol(main: readonly RunReport[], page: Page): string {
  return grid(
    [
      'protocol',
      'in',
      'beside the task',
      'passes, updates',
      'verdict',
      'apart',
      'states',
      'any number',
    ],
    main.map((run) => [
      titleOf(run),
      run.environment,
      beside(run),
      `${run.passes}, ${run.updates}${run.cpus === 2 ? '' : ', 1 CPU'}`,
      answer(run),
      failedApart(run),
      count(run.states),
      anyNumber(run, page),
    ]),
  );
}

/** What the search without bounds says of a row. */
function anyNumber(row: RunReport, page: Page): string {
  const job = endlessOf(row);
  if (job === null) return 'counts up';
  const run = page.of(job);
  const { claim, exhaustive, states } = run;
  const found = failed(run).join(', ');
  if (!exhaustive) return found === '' ? 'open' : `${found}; open`;
  if (found !== '') return found;
  if (!holds(run)) return 'unknown';
  const word = claim.word === 'proved' ? 'proved' : `holds, ${claim.within.join(', ')}`;
  return `${word}, ${count(states)} states`;
}
const count = (states: number): string => states.toLocaleString('en-US');

function leastTable(main: readonly RunReport[], runs: readonly RunReport[]): string {
  const each = new Map(main.map((run) => [`${titleOf(run)} ${run.environment}`, run]));
  return grid(
    ['protocol', 'in', 'needs'],
    [...each.values()].map((run) => [
      titleOf(run),
      run.environment,
      weakestModel(runs, run.protocol, run.variant, run.environment) ?? 'none',
    ]),
  );
}

const order = (run: RunReport): string =>
  `${run.environment} ${titleOf(run)} ${run.contexts.length} ${run.updates}`;
