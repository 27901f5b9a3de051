// What the kernel's developers asked of each other while static calls were reviewed, as rows: the
// question, the runs that answer it, and how they are laid out. A new question is a row.

import type { Configuration, ContextName } from '../configuration.js';
import { beside, answer, failed, failedApart, job, type Page } from './page.js';
import type { Job } from './asked.js';
import { hostedConfigurations } from './matrix.js';

export interface Question {
  readonly title: string;
  readonly text: string;
  readonly head: readonly string[];
  /** Runs that the default table does not have. */
  readonly jobs: () => Job[];
  readonly rows: (page: Page) => string[][];
}

const EMULATING = ['int3-gap/no-gap', 'int3-stub', 'int3-skip', 'int3-shift', 'int3-gap'] as const;

const SLOTTED = [
  'int3-percpu',
  'int3-percpu/fixed',
  'int3-percpu/if-kept',
  'int3-percpu-nmi',
  'int3-percpu-nmi/jmp',
  'int3-levels',
  'int3-gap',
] as const;
const NESTED: readonly (readonly ContextName[])[] = [
  ['task', 'irq'],
  ['task', 'irq', 'nmi'],
  ['task', 'irq', 'nmi', 'mc'],
];
const nestedJob = (name: string, contexts: readonly ContextName[]): Job =>
  job(name, { contexts, ...(contexts.includes('mc') ? { passes: 1, updates: 1 } : {}) });
/** A #DB comes from a watchpoint on a variable, or from single stepping through a trampoline. */
const debugJob = (name: string): Job =>
  job(name, { contexts: ['task', 'irq', 'db'], passes: 1, updates: 1 });
/** Two CPUs and three tasks, so that a task can go on where another one was. */
const migrationJob = (name: string): Job =>
  job(name, { contexts: ['task', 'preempt'], cpus: 2, tasks: 3, passes: 1, updates: 1 });

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
const ENTRIES = ['2019', 'today'] as const;

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
/** Events that have a shadow stack of their own. */
const NESTED_SHADOWS: Partial<Configuration> = {
  contexts: ['task', 'irq', 'nmi', 'mc'],
  passes: 1,
  updates: 1,
};
const shadowJobs = (): Job[] => [
  ...SHADOWED.map((name) => job(name, { shadowStack: true, chunk: 'line' })),
  ...['int3-gap/shadow', 'int3-shift/shadow'].map((name) =>
    job(name, { shadowStack: true, chunk: 'line', ...NESTED_SHADOWS }),
  ),
  ...['int3', 'int3/shadow'].map((name) => job(name, { shadowStack: true })),
];

const BATCHED: readonly (readonly [string, Partial<Configuration>])[] = [
  ['int3-gap/two-sites', {}],
  ['int3-gap/each-site', {}],
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

/** Ways to do without emulation. */
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

/** What may happen, beside interrupts, where the patcher is a task. */
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
  hostedConfigurations(job(name).configuration.environment).map((given) => job(name, given));

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
const SYNCS = [1, 2, 3] as const;

/**
 * A row of the table of synchronisations: the first level at which something fails has a picture.
 */
function dropped(
  page: Page,
  row: { name: string; kind: string; site: 'call' | 'null'; said: string },
) {
  return SYNCS.map((dropSync) => {
    const jobs = FETCHES.map((fetch) => job(row.name, { site: row.site, dropSync, fetch }));
    const first = jobs.findIndex((each) => failed(page.of(each)).length > 0);
    const cells = jobs.map((each, i) =>
      i === first
        ? page.verdict(each, `without sync ${dropSync}, ${row.said}, ${each.configuration.fetch}`)
        : answer(page.of(each)),
    );
    return [row.said, `${row.kind} (\`${row.name}\`)`, String(dropSync), ...cells];
  });
}

export const QUESTIONS: readonly Question[] = [
  {
    title: 'Can a call be emulated from #BP by pushing its return address?',
    text: `The trap's frame lies on the interrupted stack, exactly where the return address of the
call has to go. The first series avoided the push by a stub with globals; ftrace skipped the
instruction; the frame can be shifted, or the entry code can leave a gap below it.`,
    head: ['way', 'verdict', 'what happens'],
    jobs: () => [],
    rows: (page) => EMULATING.map((name) => [name, page.verdict(job(name)), page.story(job(name))]),
  },
  {
    title: 'The trampoline with per-CPU variables: NMI, machine checks, debug exceptions',
    text: `An event between the trap and the trampoline's last read of its variables may meet a
site itself, and overwrite them. Clearing IF keeps interrupts out. NMI got a slot and a trampoline
of its own. A machine check inside it was called highly theoretical, and it was objected that any
list of contexts is too short. The way that was merged keeps no variables.`,
    head: [
      'way',
      'interrupts',
      'and NMI',
      'and machine check',
      'and #DB',
      'preempted and moved to another CPU',
    ],
    jobs: () => SLOTTED.flatMap((name) => [migrationJob(name), debugJob(name)]),
    rows: (page) =>
      SLOTTED.map((name) => [
        name,
        ...NESTED.map((contexts) => page.verdict(nestedJob(name, contexts))),
        page.verdict(debugJob(name), 'with #DB'),
        page.verdict(migrationJob(name), 'preempted'),
      ]),
  },
  {
    title: "Which code reports to lockdep: with the entry code of 2019, and with today's",
    text: `The trap's entry reports that interrupts are off, its exit that they are on if the frame
says so. A trampoline that enables them itself comes after that, and it was asked whether the
handler or the trampoline has to report it. Today's handler returns before anything is reported.
Only the property \`lockdep\`.`,
    head: ['way', '2019', 'today', 'what happens'],
    jobs: () => TRAPPING.flatMap((name) => ENTRIES.map((entry) => job(name, { entry }))),
    rows: (page) =>
      TRAPPING.map((name) => [
        name,
        ...ENTRIES.map((entry) =>
          page.verdict(job(name, { entry }), `entry ${entry}`, ['lockdep']),
        ),
        page.story(job(name, { entry: '2019' }), 'lockdep'),
      ]),
  },
  {
    title: 'Shadow stacks',
    text: `A return address that no call pushed is on one of the two stacks only, and the return
from an exception checks where it goes. Only the property \`shadow-stack\`, fetched by line, so
that \`store\` itself is sound.`,
    head: ['way', 'in', 'beside the task', 'verdict', 'what happens'],
    jobs: shadowJobs,
    rows: (page) =>
      shadowJobs().map((each) => {
        const { contexts, environment } = each.configuration;
        const others = beside({ contexts });
        return [
          each.variant === '' ? each.protocol : `${each.protocol}/${each.variant}`,
          environment,
          others,
          page.verdict(each, `shadow stacks, beside ${others}`, ['shadow-stack']),
          page.story(each, 'shadow-stack'),
        ];
      }),
  },
  {
    title: "Batches, updaters, and a trap of the program's own",
    text: `\`two-sites\`: one batch over two sites. \`each-site\`: a cycle for the trampoline, then one
for the site, as the kernel updates a static call. \`unsorted\`, \`duplicate\`: its table out of
order, or with entries twice (the kernel's handler here searches every entry, the one that ships
searches by halves). \`two-updaters\`, \`no-lock\`: two updates at the same time, with the
updaters' lock and without. \`spin\`: the task waits for that lock with interrupts off.
\`foreign\`: the program has an int3 of its own, which must reach its owner exactly once.
\`lost-tail\`: the table says of a tail site that it calls.`,
    head: ['way', 'verdict', 'what happens'],
    jobs: () => BATCHED.map(([name, given]) => job(name, given)),
    rows: (page) =>
      BATCHED.map(([name, given]) => {
        const each = job(name, given);
        return [name, page.verdict(each, given.site), page.story(each)];
      }),
  },
  {
    title: 'Can the handler help instead of emulating?',
    text: `H. Peter Anvin's state machine: a CPU that traps gives the update up or finishes it, and
runs the site again. \`synced\` has the synchronisation between rest and first byte that he left
out. \`waiting\` begins each attempt afresh, with the old byte back and every CPU asked, because a
handler that gave the last attempt up may be late. An update that is given up more than twice is
not followed. At F0 a CPU fetches whole instructions of the newest bytes: what fails there is the
state machine's own fault.`,
    head: ['way', 'CPUs', 'fetch', 'verdict', 'apart', 'what happens'],
    jobs: () => HELPED.flatMap(helpedJobs),
    rows: (page) =>
      HELPED.flatMap((name) =>
        helpedJobs(name).map((each) => {
          const run = page.of(each);
          const cpus = `${run.cpus} CPU${run.cpus === 1 ? '' : 's'}`;
          return [
            name,
            String(run.cpus),
            run.fetch,
            page.verdict(each, `${cpus}, ${run.fetch}`),
            failedApart(run),
            page.story(each),
          ];
        }),
      ),
  },
  {
    title: 'May the table of traps be torn down if handlers count themselves in, or look again?',
    text: `In the kernel a CPU that has trapped answers no synchronisation before its handler is
done. In a process membarrier does not wait for it.`,
    head: ['way', 'verdict', 'what happens'],
    jobs: () => COUNTED.map((name) => job(name)),
    rows: (page) => COUNTED.map((name) => [name, page.verdict(job(name)), page.story(job(name))]),
  },
  {
    title: 'And if the patcher itself is interrupted?',
    text: `The patcher is a task on one of two CPUs: interrupts, NMIs and signals arrive on top of
it and pass the site; it passes the site itself when its update has returned; and in the last
column it shares a single CPU with another task.`,
    head: ['way', 'interrupts, or signals', 'and NMI', 'preempted'],
    jobs: () => HOSTED.flatMap(hostedJobs),
    rows: (page) =>
      HOSTED.map((name) => {
        const [first = '', ...rest] = hostedJobs(name).map((each) =>
          page.verdict(each, `the patcher a task, beside ${beside(each.configuration)}`),
        );
        return [name, first, rest.length > 1 ? (rest[0] ?? '') : '-', rest.at(-1) ?? ''];
      }),
  },
  {
    title: 'Which synchronisation may be left out?',
    text: `The kernel's own comment leaves the second one open; the third was called unnecessary,
and then necessary. Each cell names what fails when the synchronisation of that number is left out
of every update; two updates. A table that is torn down claims no trap once the update is over; a
permanent one always does.`,
    head: ['site', 'table', 'left out', ...FETCHES],
    jobs: () =>
      DROPPED.flatMap(([name]) =>
        SITES.flatMap(([site]) =>
          SYNCS.flatMap((dropSync) => FETCHES.map((fetch) => job(name, { site, dropSync, fetch }))),
        ),
      ),
    rows: (page) =>
      SITES.flatMap(([site, said]) =>
        DROPPED.flatMap(([name, kind]) => dropped(page, { name, kind, site, said })),
      ),
  },
];
