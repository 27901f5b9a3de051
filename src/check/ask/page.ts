// The words that a page of verdicts is made of: runs found by what was asked, cells of tables, and
// the picture that each cell leads to.

import { keyOf, titleOf, type Configuration } from '../configuration.js';
import type { RunReport } from '../result.js';
import { PROPERTIES, type PropertyName } from '../properties.js';
import { findProposal } from '../../zoo/index.js';
import type { Job } from './asked.js';
import { holds, job as jobOf } from './matrix.js';

/** The job of a protocol by its name, `int3-gap/no-gap`. */
export function job(name: string, given: Partial<Configuration> = {}): Job {
  const [protocol = name, variant = ''] = name.split('/');
  return jobOf(findProposal(protocol, variant, given.environment), given);
}

const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
export const grid = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [row(head), row(head.map(() => '---')), ...rows.map(row)].join('\n');

/** What comes on top of the task. */
export const beside = ({ contexts }: Pick<Configuration, 'contexts'>): string =>
  contexts.filter((name) => name !== 'task').join(', ') || 'nothing';

/** Properties that fail and make the answer "no". */
export const failed = (run: RunReport): PropertyName[] => failing(run, false);
/** Properties that fail and are reported apart. */
export const failedApart = (run: RunReport): string => failing(run, true).join(', ') || '-';

function failing(run: RunReport, aside: boolean): PropertyName[] {
  return PROPERTIES.filter(
    ({ name, apart }) => apart === aside && run.properties[name].verdict === 'fails',
  ).map(({ name }) => name);
}

export function answer(run: RunReport): string {
  if (!run.exhaustive) return 'unknown';
  return holds(run) ? 'holds' : failed(run).join(', ');
}

export const storyOf = (run: RunReport, name: PropertyName | undefined = failed(run)[0]): string =>
  name === undefined ? '-' : (run.properties[name].story ?? '-');

/** Runs, and the pictures that were referred to. */
export class Page {
  readonly runs: readonly RunReport[];
  readonly #byKey: ReadonlyMap<string, RunReport>;
  readonly #pictures = new Map<string, { readonly steps: number; readonly body: string }>();

  constructor(runs: readonly RunReport[]) {
    this.runs = runs;
    this.#byKey = new Map(runs.map((run) => [keyOf(run, run), run]));
  }

  /** @throws when a run that the page needs is missing: it is never filled with a guess. */
  of(each: Job): RunReport {
    const run = this.#byKey.get(keyOf(each, each.configuration));
    if (run === undefined) throw new Error(`no run of ${titleOf(each)}`);
    return run;
  }

  /** The verdict; each property that fails leads to its picture. */
  verdict(each: Job, note = '', only: readonly PropertyName[] = failed(this.of(each))): string {
    const run = this.of(each);
    if (!run.exhaustive) return 'unknown';
    const names = only.filter((name) => run.properties[name].verdict === 'fails');
    return names.map((name) => this.picture(run, name, note)).join(', ') || 'holds';
  }

  /** What happens in the shortest counterexample, or a dash. */
  story(each: Job, name?: PropertyName): string {
    return storyOf(this.of(each), name);
  }

  /** The property's name, leading to its picture: the shortest that a title has. */
  picture(run: RunReport, name: PropertyName, note: string): string {
    const { steps = 0, story = '', picture = '' } = run.properties[name];
    const where = [run.environment, note].filter((word) => word !== '').join(', ');
    const title = `${titleOf(run)} (${where}): ${name}`;
    const known = this.#pictures.get(title);
    if (known === undefined || steps < known.steps)
      this.#pictures.set(title, { steps, body: `${story}.\n\n\`\`\`\n${picture}\n\`\`\`` });
    return `[${name}](counterexamples.md#${slug(title)})`;
  }

  /** Those that look the same stand under one heading. */
  pictures(): string {
    const byBody = new Map<string, string[]>();
    for (const [title, { body }] of [...this.#pictures].sort(([a], [b]) => a.localeCompare(b)))
      byBody.set(body, [...(byBody.get(body) ?? []), title]);
    return [...byBody]
      .map(([body, titles]) => {
        const heads = titles.map((title) => `### <a id="${slug(title)}"></a>${title}`);
        return `${heads.join('\n')}\n\n${body}`;
      })
      .join('\n\n');
  }
}

const slug = (title: string): string => title.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
