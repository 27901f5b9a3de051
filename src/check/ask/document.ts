// docs/verdicts.md out of a run: the table, the questions that the list argued about with what the
// search says to each, and a picture for every way to fail, to which the answers lead. No verdict
// is written here; the text only says what is asked and who asked it.

import type { Configuration } from '../configuration.js';
import { holds, hostedConfigurations, job as jobOf, matrixJobs, weakestModel } from './matrix.js';
import { FORM_HEAD, formJobs, formRows } from './forms.js';
import type { Job } from './job.js';
import { PROPERTIES, type PropertyName } from '../properties.js';
import type { RunReport } from '../explain/report.js';
import { PROPOSALS, findProposal } from '../../zoo/index.js';

const job = (name: string, given: Partial<Configuration>): Job => {
  const [protocol = name, variant = ''] = name.split('/');
  return jobOf(findProposal(protocol, variant, given.environment), given);
};

/** A #DB comes from a watchpoint on a variable, or from single stepping through a trampoline. */
const debugJob = (name: string): Job =>
  job(name, { contexts: ['task', 'irq', 'db'], passes: 1, updates: 1 });

const FETCHES = ['F0', 'F1', 'F2', 'F3', 'F4'] as const;
const DROPPED = [
  ['int3-gap', 'torn down'],
  ['int3-gap/counted', 'torn down when no handler is in it'],
  ['int3-gap/permanent', 'permanent'],
  ['int3', 'permanent (process)'],
] as const;
const SITES = [
  ['call', 'call to call'],
  ['null', 'nop to call'],
] as const;
const TRAPPING = [
  'int3-stub',
  'int3-gap',
  'int3-shift',
  'int3-percpu/fixed',
  'int3-percpu-nmi',
  'int3-percpu-nmi/jmp',
  'int3-percpu-nmi/handler',
  'int3-percpu-nmi/trampoline',
  'int3-levels',
  'int3-levels/tells',
] as const;
const SHADOWED = [
  'store',
  'int3-gap',
  'int3-gap/shadow',
  'int3-shift',
  'int3-shift/shadow',
  'int3-percpu/fixed',
  'int3-stub',
  'int3-stub/shadow',
  'stop-machine',
] as const;

const SLOTTED = [
  'int3-percpu',
  'int3-percpu/fixed',
  'int3-percpu/if-kept',
  'int3-percpu-nmi',
  'int3-percpu-nmi/jmp',
  'int3-levels',
  'int3-gap',
] as const;
/** Two CPUs and three tasks, so that a task can go on where another one was. */
const migrationJob = (name: string): Job =>
  job(name, { contexts: ['task', 'preempt'], cpus: 2, tasks: 3, passes: 1, updates: 1 });

const lockdepJobs = (): Job[] =>
  TRAPPING.flatMap((name) => (['2019', 'today'] as const).map((entry) => job(name, { entry })));
/** Events that have a shadow stack of their own. */
const nested = {
  contexts: ['task', 'irq', 'nmi', 'mc'],
  passes: 1,
  updates: 1,
} as const satisfies Partial<Configuration>;
const shadowJobs = (): Job[] => [
  ...SHADOWED.map((name) => job(name, { shadowStack: true, chunk: 'line' })),
  ...['int3-gap/shadow', 'int3-shift/shadow'].map((name) =>
    job(name, { shadowStack: true, chunk: 'line', ...nested }),
  ),
  ...['int3', 'int3/shadow'].map((name) => job(name, { shadowStack: true })),
];
const syncJobs = (): Job[] =>
  DROPPED.flatMap(([name]) =>
    SITES.flatMap(([site]) =>
      [1, 2, 3].flatMap((dropSync) => FETCHES.map((fetch) => job(name, { site, dropSync, fetch }))),
    ),
  );

/** What else than interrupts may come where the patcher is a task. */
const HOSTED = [
  'naive',
  'store',
  'int3-gap',
  'int3-gap/permanent',
  'int3-percpu/fixed',
  'stop-machine',
  'int3',
  'int3-retire/versioned',
] as const;
const hostedJobs = (name: string): Job[] =>
  hostedConfigurations(job(name, {}).configuration.environment).map((given) => job(name, given));

/** Ways to do without emulation, or with a table that counts who is in it. */
const HELPED = ['int3-abort', 'int3-abort/synced', 'int3-abort/waiting'] as const;
const helpedJobs = (name: string): Job[] =>
  (['F3', 'F0'] as const).flatMap((fetch) => [
    job(name, { fetch }),
    job(name, { fetch, contexts: ['task'] }),
  ]);
const COUNTED = [
  'int3-gap/counted',
  'int3-retire',
  'int3-retire/reread',
  'int3-retire/versioned',
  'int3-retire/version-first',
  'int3-retire/counted',
] as const;

const BATCHED: readonly (readonly [string, Partial<Configuration>])[] = [
  ['int3-gap/two-sites', {}],
  ['int3-gap/unsorted', {}],
  ['int3-gap/duplicate', {}],
  ['int3-gap/two-updaters', {}],
  ['int3-gap/no-lock', {}],
  ['int3-gap/spin', {}],
  ['int3-gap/foreign', {}],
  ['int3/two-sites', {}],
  ['int3/unsorted', {}],
  ['int3/two-updaters', {}],
  ['int3/no-lock', {}],
  ['int3/foreign', {}],
  ['int3-gap/lost-tail', { site: 'jmp' }],
  ['int3/lost-tail', { site: 'jmp' }],
];

export function documentJobs(): Job[] {
  return [
    ...matrixJobs(),
    ...SLOTTED.flatMap((name) => [migrationJob(name), debugJob(name)]),
    ...HOSTED.flatMap(hostedJobs),
    ...HELPED.flatMap(helpedJobs),
    ...COUNTED.map((name) => job(name, {})),
    ...BATCHED.map(([name, given]) => job(name, given)),
    ...formJobs(),
    ...lockdepJobs(),
    ...shadowJobs(),
    ...syncJobs(),
  ];
}

/** Told in a section of their own. */
const FULL: ReadonlySet<string> = new Set(
  PROPOSALS.filter(({ full }) => full).map(({ name, variant }) => `${name}/${variant}`),
);

const titleOf = ({ protocol, variant }: { protocol: string; variant: string }): string =>
  variant === '' ? protocol : `${protocol}/${variant}`;
const key = (each: Job | RunReport): string => {
  const configuration = 'configuration' in each ? each.configuration : each;
  const {
    environment,
    fetch,
    chunk,
    store,
    contexts,
    passes,
    updates,
    site,
    dropSync,
    tso,
    entry,
    patcher,
    shadowStack,
  } = configuration;
  return JSON.stringify([
    each.protocol,
    each.variant,
    environment,
    fetch,
    chunk,
    store,
    contexts,
    configuration.cpus,
    configuration.tasks,
    passes,
    updates,
    site,
    dropSync,
    tso,
    entry,
    patcher,
    shadowStack,
  ]);
};

const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
const grid = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [row(head), row(head.map(() => '---')), ...rows.map(row)].join('\n');
const beside = (run: RunReport): string =>
  run.contexts.filter((name) => name !== 'task').join(', ') || 'nothing';
const failed = (run: RunReport, apart = false): PropertyName[] =>
  PROPERTIES.filter(
    (each) => (apart || !each.apart) && run.properties[each.name].verdict === 'fails',
  ).map(({ name }) => name);
const answer = (run: RunReport): string =>
  !run.exhaustive ? 'unknown' : holds(run) ? 'holds' : failed(run).join(', ');

/** @throws when a run that the page needs is missing: it is never filled with a guess. */
export function document(runs: readonly RunReport[]): string {
  const byKey = new Map(runs.map((run) => [key(run), run]));
  const of = (each: Job): RunReport => {
    const run = byKey.get(key(each));
    if (run === undefined) throw new Error(`no run of ${titleOf(each)}`);
    return run;
  };
  const main = runs.filter(
    (run) =>
      run.fetch === 'F3' &&
      run.chunk === 'byte' &&
      run.site === 'call' &&
      run.dropSync === null &&
      !run.shadowStack &&
      run.entry === 'today' &&
      run.patcher === 'beside' &&
      !run.contexts.includes('preempt') &&
      !FULL.has(titleOf(run)),
  );
  const unique = [...new Map(main.map((run) => [key(run), run])).values()].sort((a, b) =>
    order(a).localeCompare(order(b)),
  );
  const proposals = [
    ...new Map(unique.map((run) => [`${titleOf(run)} ${run.environment}`, run])).values(),
  ];
  const pictures = new Pictures();
  for (const run of unique) for (const name of failed(run)) pictures.add(run, name, '');
  /** An answer whose words lead to their pictures. */
  const told = (
    each: Job,
    note: string,
    only: readonly PropertyName[] = failed(of(each)),
  ): string => {
    const run = of(each);
    if (!run.exhaustive) return 'unknown';
    const names = only.filter((name) => run.properties[name].verdict === 'fails');
    return names.length === 0
      ? 'holds'
      : names.map((name) => pictures.add(run, name, note)).join(', ');
  };
  const weakest = [...proposals].map((run) => [
    titleOf(run),
    run.environment,
    weakestModel(runs, run.protocol, run.variant, run.environment) ?? 'none',
  ]);

  return `# Verdicts

Generated by \`node scripts/verdicts.mjs\` from the search that \`static-call check\` runs; a test makes it again and compares. Every line is
*checked* within its bounds: two CPUs (one where the table says so), the passes and updates in the table, at most 2 NMIs and 1 machine check, one
interrupt at a time on each CPU. Where nothing else is said: fetch level F3 (a CPU may use any version of a byte that was there since it last
serialised), single bytes, stores atomic within a line, TSO store buffers, sites that call. A verdict names the
properties that fail; ${PROPERTIES.filter(({ apart }) => apart)
    .map(({ name }) => `\`${name}\``)
    .join(', ')
    .replace(/, (?=[^,]*$)/, ' and ')} are reported apart, in the last column.

No protocol but \`stop-machine\` promises that all CPUs switch at one instant, and none is judged by it.

## Every protocol

${grid(
  ['protocol', 'in', 'beside the task', 'passes, updates', 'verdict', 'apart', 'states'],
  unique.map((run) => [
    titleOf(run),
    run.environment,
    beside(run),
    `${run.passes}, ${run.updates}${run.cpus === 2 ? '' : ', 1 CPU'}`,
    answer(run),
    failed(run, true)
      .filter((name) => !failed(run).includes(name))
      .join(', ') || '-',
    run.states.toLocaleString('en-US'),
  ]),
)}

## The least that the hardware must promise

The first model of the list under which a protocol holds, from the one that promises least: F4 by byte (to run bytes that changed is itself an error, but for int3), F3
by byte, quadword, 16 bytes, 32 bytes, line, then F1 in any order by byte, F1 by line, and F0 (a whole instruction at one instant). One update, maskable interrupts or signals.

${grid(['protocol', 'in', 'needs'], weakest)}

## Every form of site

What compilers and linkers make of a call: \`call\` and \`jmp\` of five bytes, of six where a call through the GOT was relaxed, and clang's
conditional tail call, whose handler must read the saved flags. Each goes from function to function, from nothing to a function and back, and from
"return 0" to a function and back; maskable interrupts or signals, two updates. *Not emulated*: the handler that was proposed knows five bytes and no
condition (Linux's own has known both since 6.3, ac0ee0a9560c).

${grid(
  FORM_HEAD,
  formRows((each) => answer(of(each))),
)}

## What the list asked

An answer that names a property leads to the picture of its shortest counterexample.

### Can a call be emulated from #BP by pushing its return address?

The trap's frame lies on the interrupted stack, just where the return address of the call has to go. The first series avoided the push by a stub with globals; ftrace
skipped the instruction; the frame can be shifted, or the entry code can leave a gap below it.

${grid(
  ['way', 'verdict', 'what happens'],
  ['int3-gap/no-gap', 'int3-stub', 'int3-skip', 'int3-shift', 'int3-gap'].map((name) => [
    name,
    told(job(name, {}), ''),
    storyOf(of(job(name, {}))),
  ]),
)}

### The trampoline with per-CPU variables: NMI, machine checks, debug exceptions

An event between the trap and the trampoline's last look at its variables may meet a site itself, and use them. Interrupts are kept out by clearing IF; NMI
got a slot and a trampoline of its own; a machine check inside it has been called highly theoretical; it was objected that any list of contexts is too short. The
merged way keeps no variables.

${grid(
  [
    'way',
    'interrupts',
    'and NMI',
    'and machine check',
    'and #DB',
    'preempted and moved to another CPU',
  ],
  SLOTTED.map((name) => [
    name,
    ...[
      ['task', 'irq'],
      ['task', 'irq', 'nmi'],
      ['task', 'irq', 'nmi', 'mc'],
    ].map((contexts) =>
      told(
        job(name, {
          contexts: contexts as Configuration['contexts'],
          ...(contexts.includes('mc') ? { passes: 1, updates: 1 } : {}),
        }),
        '',
      ),
    ),
    told(debugJob(name), 'with #DB'),
    told(migrationJob(name), 'preempted'),
  ]),
)}

### Who tells lockdep: the entry code of 2019, and of today

The trap's entry says that interrupts are off, its exit that they are on if the frame says so. A trampoline that enables them itself comes after that: it was asked whether the
handler or the trampoline has to tell. Today the handler returns before anybody is told anything. Only the property \`lockdep\`.

${grid(
  ['way', '2019', 'today', 'what happens'],
  TRAPPING.map((name) => [
    name,
    ...(['2019', 'today'] as const).map((entry) =>
      told(job(name, { entry }), `entry ${entry}`, ['lockdep']),
    ),
    storyOf(of(job(name, { entry: '2019' })), 'lockdep'),
  ]),
)}

### Shadow stacks

A return address that no call pushed is on one stack only, and an exception's return checks where it goes. Only the property \`shadow-stack\`, fetched by line, so that
\`store\` is itself sound.

${grid(
  ['way', 'in', 'beside the task', 'verdict', 'what happens'],
  shadowJobs().map((each) => [
    titleOf(each),
    of(each).environment,
    beside(of(each)),
    told(each, `shadow stacks, beside ${beside(of(each))}`, ['shadow-stack']),
    storyOf(of(each), 'shadow-stack'),
  ]),
)}

### Batches, updaters, and a trap of the program's own

\`two-sites\`: one batch over two sites. \`unsorted\`, \`duplicate\`: its table out of order (the kernel's handler here searches every entry, the one that ships searches
by halves), or with entries twice. \`two-updaters\`, \`no-lock\`: two updates at the same time, with the updaters' lock and without. \`spin\`: the task waits for that lock
with interrupts off. \`foreign\`: the program has an int3 of its own, which must reach whoever it belongs to exactly once.
\`lost-tail\`: the table says of a tail site that it calls.

${grid(
  ['way', 'verdict', 'what happens'],
  BATCHED.map(([name, given]) => [
    name,
    told(job(name, given), given.site ?? ''),
    storyOf(of(job(name, given))),
  ]),
)}

### Can the handler help instead of emulating?

H. Peter Anvin's state machine: who traps gives the update up or finishes it, and runs the site again. \`synced\` has the synchronisation between rest and first byte
that he left out, \`waiting\` begins each attempt afresh: the old byte back and everybody asked, for a handler that gave the last one up may be late. What is given up oftener than twice is not followed. At F0 a CPU fetches whole instructions of the newest bytes: what fails there is the machine's own.

${grid(
  ['way', 'CPUs', 'fetch', 'verdict', 'apart', 'what happens'],
  HELPED.flatMap((name) =>
    helpedJobs(name).map((each) => {
      const run = of(each);
      return [
        name,
        String(run.cpus),
        run.fetch,
        told(each, `${run.cpus} CPU${run.cpus > 1 ? 's' : ''}, ${run.fetch}`),
        failed(run, true)
          .filter((property) => !failed(run).includes(property))
          .join(', ') || '-',
        storyOf(run),
      ];
    }),
  ),
)}

### May the table of traps be torn down, if handlers count themselves in, or look again?

In the kernel a CPU that has trapped answers no synchronisation before its handler is done; in a process membarrier does not wait for it.

${grid(
  ['way', 'verdict', 'what happens'],
  COUNTED.map((name) => [name, told(job(name, {}), ''), storyOf(of(job(name, {})))]),
)}

### And if the patcher is interrupted itself?

The patcher is a task on one of two CPUs: interrupts, NMIs and signals come on top of it and pass the site, it passes the site itself when its update has returned, and in the last
column it shares a single CPU with another task.

${grid(
  ['way', 'interrupts, or signals', 'and NMI', 'preempted'],
  HOSTED.map((name) => {
    const [first, ...rest] = hostedJobs(name).map((each) =>
      told(each, `the patcher a task, beside ${beside(of(each))}`),
    );
    return [name, first ?? '', rest.length > 1 ? (rest[0] ?? '') : '-', rest.at(-1) ?? ''];
  }),
)}

### Which synchronisation may be left out?

The kernel's own comment leaves the second one open; the third was called unnecessary, and then not. Each cell names what fails when the synchronisation of that number is left out of
every update; two updates. A table that is torn down claims no trap once the update is over; a permanent one always does.

${grid(
  ['site', 'table', 'left out', ...FETCHES],
  SITES.flatMap(([site, said]) =>
    DROPPED.flatMap(([name, kind]) =>
      [1, 2, 3].map((dropSync) => {
        const cells = FETCHES.map((fetch) => of(job(name, { site, dropSync, fetch })));
        const first = cells.findIndex((run) => failed(run).length > 0);
        return [
          said,
          `${kind} (\`${name}\`)`,
          String(dropSync),
          ...FETCHES.map((fetch, i) =>
            i === first
              ? told(
                  job(name, { site, dropSync, fetch }),
                  `without sync ${dropSync}, ${said}, ${fetch}`,
                )
              : answer(cells[i] as RunReport),
          ),
        ];
      }),
    ),
  ),
)}

## Counterexamples

Time goes down. A star marks a byte that changed; the two steps that make the trouble are filled and joined. Fetch level F3 where nothing else is said.

${pictures.page()}
`;
}

/**
 * One for each way to fail: the shortest that a title has, and those that look the same under one
 * heading.
 */
class Pictures {
  readonly #byTitle = new Map<string, { readonly steps: number; readonly body: string }>();

  /** The property's name, leading to its picture. */
  add(run: RunReport, name: PropertyName, note: string): string {
    const { steps = 0, story = '', picture = '' } = run.properties[name];
    const title = `${titleOf(run)} (${[run.environment, note].filter((word) => word !== '').join(', ')}): ${name}`;
    const known = this.#byTitle.get(title);
    if (known === undefined || steps < known.steps)
      this.#byTitle.set(title, { steps, body: `${story}.\n\n\`\`\`\n${picture}\n\`\`\`` });
    return `[${name}](#${slug(title)})`;
  }

  page(): string {
    const byBody = new Map<string, string[]>();
    for (const [title, { body }] of [...this.#byTitle].sort(([a], [b]) => a.localeCompare(b)))
      byBody.set(body, [...(byBody.get(body) ?? []), title]);
    return [...byBody]
      .map(
        ([body, titles]) =>
          `${titles.map((title) => `### <a id="${slug(title)}"></a>${title}`).join('\n')}\n\n${body}`,
      )
      .join('\n\n');
  }
}
const slug = (title: string): string => title.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');

const storyOf = (run: RunReport, name: PropertyName | undefined = failed(run)[0]): string =>
  name === undefined ? '-' : (run.properties[name].story ?? '-');
const order = (run: RunReport): string =>
  `${run.environment} ${titleOf(run)} ${run.contexts.length} ${run.updates}`;
