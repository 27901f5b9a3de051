// Names of protocols to a table of verdicts, and the picture of what goes wrong. Verdicts come from
// the search alone. Status 0 only when every asked property holds or does not apply.

import { EXIT, Fault } from '../../base/fault.js';
import { replaceFile } from '../../base/file.js';
import { didYouMean } from '../../base/nearest.js';
import { printable } from '../../base/printable.js';
import {
  BOUNDS,
  CONTEXT_NAMES,
  DEFAULTS,
  isEndless,
  targetsOf,
  titleOf as nameOf,
  type ContextName,
  type Named,
} from '../../check/configuration.js';
import { check, checkMatrix, protocols, type CheckReport } from '../../check/ask/check.js';
import { certify, promelaOf } from '../../check/ask/jobs.js';
import type { CheckOptions } from '../../check/ask/asked.js';
import { replayToken, replayUnder } from '../../check/explain/replay.js';
import type { RunReport } from '../../check/result.js';
import { PROPERTIES, PROPERTY_NAMES, type PropertyName } from '../../check/properties.js';
import { pageAddress } from '../../host/page.js';
import { findProposal } from '../../zoo/index.js';
import { ranges } from '../../zoo/place.js';
import { ladder } from '../../check/ask/ladder.js';
import { weakestModel } from '../../check/ask/matrix.js';
import { LADDER_HEAD, ladderRows } from '../../check/ask/zoo-page.js';
import { holdAgainst } from '../conform.js';
import type { Context } from '../context.js';
import { progress } from '../progress.js';
import { withRunner, type Made } from '../queued.js';
import { table } from '../table.js';

/**
 * For each litmus program on the real CPU: millions of updates, or some ten thousand where each
 * synchronises.
 */
const LITMUS_MS = 1000;
/** For each protocol that is performed on the real CPU. */
const PERFORMED_SECONDS = 2;

export interface Flags {
  readonly protocol?: readonly string[];
  readonly env?: 'kernel' | 'user';
  readonly fetch?: RunReport['fetch'];
  readonly chunk?: RunReport['chunk'];
  readonly store?: RunReport['store'];
  readonly context?: string;
  readonly cpus?: RunReport['cpus'];
  readonly tasks?: number;
  readonly passes?: RunReport['passes'];
  readonly updates?: RunReport['updates'];
  readonly bounds?: RunReport['passes'];
  readonly targets?: string;
  readonly site?: RunReport['site'];
  readonly offset?: number | 'all';
  readonly dropSync?: number;
  readonly tso?: 'on' | 'off';
  readonly entry?: RunReport['entry'];
  readonly patcher?: RunReport['patcher'];
  readonly shadowStack: boolean;
  readonly property?: readonly string[];
  readonly reduce?: RunReport['reduce'];
  readonly statesMax?: number;
  readonly secondsMax?: number;
  readonly path?: string;
  readonly against?: string;
  readonly certificate?: string;
  readonly export?: 'promela';
  readonly output?: string;
  readonly svg?: string;
  readonly under?: string;
  readonly matrix?: 'default' | 'full';
  readonly litmus: boolean;
  readonly zoo: boolean;
  readonly queue?: string;
  readonly wait?: number;
  readonly list: boolean;
  readonly stats: boolean;
  readonly json: boolean;
}

export async function run(context: Context, flags: Flags, ...names: string[]): Promise<number> {
  const all = [...names, ...(flags.protocol ?? [])];
  for (const [mode, { takes }] of Object.entries(MODES))
    if (asks(flags[mode as keyof typeof MODES])) checkAlone(mode, takes, flags, all);
  if (flags.against !== undefined) {
    const { against, json } = flags;
    const other = Object.entries(flags).find(
      ([flag, value]) => !['against', 'json', 'protocol'].includes(flag) && asks(value),
    );
    if (other) throw new Fault('bad-usage', `--${other[0]} says nothing beside --against`);
    return holdAgainst(context, all, against, json);
  }
  if (flags.list) return list(context, flags);
  if (flags.zoo) return showZoo(context, flags);
  if (flags.path !== undefined) return showPath(context, flags, flags.path);
  if (flags.litmus) return onCpu(context, flags, all);
  if (flags.export !== undefined) return writeModel(context, flags, all);
  for (const word of ['output', 'queue'] as const)
    if (flags[word] !== undefined && flags.matrix === undefined)
      throw new Fault('bad-usage', `--${word} says nothing here`, { hint: ASIDE[word] });
  const asked = propertiesOf(flags.property ?? []);
  if (flags.matrix === undefined && all.length === 0)
    throw new Fault('bad-usage', 'name a protocol', {
      hint: '--list lists them; or ask for --matrix, or --litmus',
    });
  const options = optionsOf(flags);
  // Before the search, because a protocol without one is refused at once.
  if (flags.certificate !== undefined) await writeCertificate(all, options, flags.certificate);
  const searches = { ...options, ...needed(flags, asked) };
  const report = await searched(context, flags, (found) =>
    flags.matrix !== undefined
      ? checkMatrix(flags.matrix, found)
      : check(all, { ...searches, ...found }),
  );
  if (flags.json)
    context.json('static-call/check@1', {
      bounds: BOUNDS,
      incomplete: report.incomplete,
      runs: report.runs,
    });
  else if (flags.matrix !== undefined) printMatrix(context, report);
  else for (const each of report.runs) printRun(context, each, asked, flags);
  // Behind the answer, which a file that cannot be written must not take away.
  const { svg } = flags;
  if (svg !== undefined && !writePicture(report, asked, { ...flags, svg }))
    context.note(
      `nothing that was asked for fails, so there is nothing to draw in ${printable(svg)}`,
    );
  if (report.incomplete) context.note('not every run was finished: what is missing is unknown');
  const good =
    !report.incomplete && report.runs.every((each) => asked.every((name) => isGood(each, name)));
  return good ? EXIT.good : EXIT.no;
}

/** With a line of progress, and by the workers of a queue where one is given. */
function searched(
  context: Context,
  { queue }: Flags,
  search: (how: Pick<CheckOptions, 'signal' | 'onRun'> & Made) => Promise<CheckReport>,
): Promise<CheckReport> {
  return withRunner(context, queue, async (made) => {
    using live = progress(context);
    return await search({
      ...made,
      signal: context.signal,
      onRun: (last, done, of) =>
        live.show(() => `${done} of ${of}: ${titleOf(last)}, ${count(last.states)} states`),
    });
  });
}

/** Every name with what it does, the kernel's first. */
function list(context: Context, { env, json }: Flags): number {
  const all = protocols().filter(({ environment }) => env === undefined || env === environment);
  if (json) context.json('static-call/check-list@1', { protocols: all });
  else
    context.print(
      table(
        [{ title: 'protocol' }, { title: 'where' }, { title: 'what it does' }],
        all.map(({ name, environment, about }) => [name, environment, about]),
      ),
    );
  return EXIT.good;
}

/** `--litmus`: its programs, or the protocols that are named, on this CPU. */
async function onCpu(
  context: Context,
  { json, secondsMax, wait = 0, offset, dropSync }: Flags,
  names: readonly string[],
): Promise<number> {
  if (names.length > 0) {
    const seconds = secondsMax ?? PERFORMED_SECONDS;
    const { performAll } = await import('../performed.js');
    return performAll(context, names, {
      json,
      seconds,
      wait,
      offset: offset ?? null,
      dropSync: dropSync ?? null,
    });
  }
  const other = Object.entries({ offset, dropSync }).find(([, value]) => value !== undefined);
  if (other !== undefined)
    throw new Fault('bad-usage', `${kebab(other[0])} says nothing beside --litmus alone`, {
      hint: 'name the protocol that is to be performed',
    });
  const milliseconds = secondsMax === undefined ? LITMUS_MS : 1000 * secondsMax;
  return (await import('../litmus.js')).litmus(context, { json, milliseconds, wait });
}

async function writeCertificate(
  names: readonly string[],
  options: CheckOptions,
  file: string,
): Promise<void> {
  const [name, ...more] = names;
  if (name === undefined || more.length > 0)
    throw new Fault('bad-usage', '--certificate is about one protocol');
  replaceFile(file, await certify(name, options));
}

/** `--export promela`: the model, and beside it what SPIN must count. */
async function writeModel(
  context: Context,
  flags: Flags,
  names: readonly string[],
): Promise<number> {
  const [name, ...more] = names;
  if (name === undefined || more.length > 0)
    throw new Fault('bad-usage', '--export is about one protocol');
  const { text, parts } = await promelaOf(name, optionsOf(flags));
  if (flags.output === undefined) context.print(text);
  else replaceFile(flags.output, text);
  for (const [i, { states, transitions }] of parts.entries())
    context.note(`part ${i}: ${count(states)} states, ${count(transitions)} transitions`);
  return EXIT.good;
}

/** Flags that say something beside others alone, and beside which. */
const ASIDE: Readonly<Record<'output' | 'queue', string>> = {
  output: 'it is where --export writes',
  queue: 'it is for --matrix and --zoo',
};

/** What a machine and its program are made of. */
const CONFIGURED = [
  'env',
  'fetch',
  'chunk',
  'store',
  'context',
  'cpus',
  'tasks',
  'passes',
  'updates',
  'bounds',
  'targets',
  'site',
  'offset',
  'dropSync',
  'tso',
  'entry',
  'patcher',
  'shadowStack',
  'reduce',
] as const satisfies readonly (keyof Flags)[];

/**
 * What is asked for in place of the named protocols, and which other flags it takes: a flag that
 * says nothing must not seem to.
 */
const MODES = {
  path: { takes: ['under', 'svg', 'json'] },
  litmus: { takes: ['protocol', 'offset', 'dropSync', 'secondsMax', 'wait', 'json'] },
  list: { takes: ['env', 'json'] },
  export: { takes: ['protocol', ...CONFIGURED, 'statesMax', 'output'] },
  matrix: { takes: ['property', 'svg', 'queue', 'json'] },
  zoo: { takes: ['queue', 'json'] },
} as const satisfies Partial<Record<keyof Flags, { readonly takes: readonly (keyof Flags)[] }>>;
/** `--seconds-max`, as the user writes it. */
const kebab = (flag: string): string =>
  `--${flag.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** Given at all, and not the word for no. */
const asks = (value: Flags[keyof Flags]): boolean =>
  value !== undefined && value !== false && !(Array.isArray(value) && value.length === 0);

function checkAlone(
  mode: string,
  takes: readonly string[],
  flags: Flags,
  names: readonly string[],
): void {
  if (names.length > 0 && !takes.includes('protocol'))
    throw new Fault('bad-usage', `${kebab(mode)} names no protocol, and ${names[0]} is given`, {
      hint: `leave out one of the two`,
    });
  const other = Object.keys(flags).find(
    (flag) => flag !== mode && !takes.includes(flag) && asks(flags[flag as keyof Flags]),
  );
  if (other !== undefined)
    throw new Fault('bad-usage', `${kebab(other)} says nothing beside ${kebab(mode)}`, {
      hint: `beside it there can be ${takes.map(kebab).join(', ')}`,
    });
}

const isGood = (run: RunReport, name: PropertyName): boolean =>
  run.properties[name].verdict === 'holds' || run.properties[name].verdict === 'not-applicable';

/** Those asked for; without any, all but the ones that are reported apart. */
function propertiesOf(words: readonly string[]): PropertyName[] {
  for (const word of words) {
    if (!(PROPERTY_NAMES as readonly string[]).includes(word))
      throw new Fault('bad-usage', `unknown property ${word}`, {
        hint: didYouMean(word, PROPERTY_NAMES) ?? `one of ${PROPERTY_NAMES.join(', ')}`,
      });
  }
  return words.length > 0
    ? (words as PropertyName[])
    : PROPERTIES.filter(({ apart }) => !apart).map(({ name }) => name);
}

function optionsOf(flags: Flags): CheckOptions {
  const {
    env,
    context,
    offset,
    dropSync,
    tso,
    shadowStack,
    fetch,
    chunk,
    store,
    // Another protocol may count what this one does not, and has to be drawn within the same bounds.
    bounds: all = flags.under === undefined ? undefined : DEFAULTS.passes,
    cpus = all,
    tasks,
    passes = all,
    updates = all,
    targets,
    site,
    entry,
    patcher,
    reduce,
    statesMax,
    secondsMax,
  } = flags;
  const contexts = context?.split(',').map((word) => {
    if (!(CONTEXT_NAMES as readonly string[]).includes(word))
      throw new Fault('bad-usage', `unknown context ${word}`, {
        hint: didYouMean(word, CONTEXT_NAMES) ?? `one of ${CONTEXT_NAMES.join(', ')}`,
      });
    return word as ContextName;
  });
  const environment = env ?? (flags.under === undefined ? undefined : underOf(flags.under, env));
  const given = {
    environment,
    contexts,
    offset,
    dropSync,
    tso: tso === undefined ? undefined : tso === 'on',
    fetch,
    chunk,
    store,
    cpus,
    tasks,
    passes,
    updates,
    // A word that is no target is refused where all settings are.
    targets: targets?.split(','),
    site,
    entry,
    patcher,
    reduce,
    statesMax,
    secondsMax,
  };
  return {
    ...(Object.fromEntries(
      Object.entries(given).filter(([, value]) => value !== undefined),
    ) as CheckOptions),
    shadowStack,
  };
}

/**
 * Where the protocol lives under which a schedule is drawn again; what is checked has to live there
 * too.
 */
function underOf(name: string, environment: Flags['env']): Flags['env'] {
  const [protocol = name, variant = ''] = name.split('/');
  return findProposal(protocol, variant, environment).environment;
}

const titleOf = (run: Named): string => printable(nameOf(run));

/** Where the site lies; of a patched trampoline or pointer it says nothing. */
const placed = ({ offset, offsets }: RunReport): string => {
  if (offsets !== undefined) return ` at ${ranges(offsets)} of its line`;
  return offset === null ? '' : ` at ${offset} of its line`;
};

function settings(run: RunReport): string {
  const words = [
    run.environment,
    `contexts ${run.contexts.join(',')}`,
    `fetch ${run.fetch} by ${run.chunk}`,
    `stores by ${run.store}`,
    `TSO ${run.tso ? 'on' : 'off'}`,
    `site ${run.site}${placed(run)}`,
    counted(run.cpus, 'CPU', 'CPUs'),
    counted(run.passes, 'pass', 'passes'),
    counted(run.updates, 'update', 'updates') +
      (run.updates === 'any' ? ` among ${targetsOf(run).join(', ')}` : ''),
    ...(run.dropSync === null ? [] : [`without sync ${run.dropSync}`]),
    ...(run.shadowStack ? ['shadow stacks'] : []),
    ...(run.environment === 'kernel' ? [`entry ${run.entry}`] : []),
    ...(run.patcher === 'task' ? ['the patcher a task on one of them'] : []),
  ];
  return printable(words.join(', '));
}

/** As a number in front of its noun; 1 of the default table stands as it always did. */
const counted = (count: RunReport['cpus'], one: string, more: string): string => {
  if (count === 'any') return `any number of ${more}`;
  return `${count} ${count === 1 && one === 'update' ? one : more}`;
};

function bounds({ contexts, bounds: most, passes, claim }: RunReport): string[] {
  const has = (...names: ContextName[]) => names.some((name) => contexts.includes(name));
  const events = passes !== 'any';
  const parts = [
    ...claim.within,
    ...(events && has('nmi', 'nested-nmi') ? [`${most.nmis} NMIs`] : []),
    ...(events && has('mc') ? [`${most.machineChecks} machine check`] : []),
    ...(has('irq') ? ['one interrupt at a time on each CPU'] : []),
    ...(!events && has('signal') ? ['one signal at a time on each thread'] : []),
  ];
  return parts.length === 0 ? [] : [`bounds: ${parts.join(', ')}`];
}

const WORDS = {
  holds: 'holds',
  fails: 'FAILS',
  unknown: 'unknown',
  'not-applicable': '-',
} as const;

function printRun(
  context: Context,
  run: RunReport,
  asked: readonly PropertyName[],
  { stats, under }: Flags,
): void {
  const { paint } = context;
  context.print(`${paint('bold', titleOf(run))}: ${settings(run)}`);
  const rows = printed(asked).map(({ name, apart, holds, endless = holds }) => {
    const { verdict, steps, story, contexts, beyond, bounds } = run.properties[name];
    const promise = isEndless(run) ? endless : holds;
    const where =
      (contexts === undefined ? '' : ` (judged with ${contexts.join(',')})`) +
      (bounds === undefined ? '' : ' (found without bounds)');
    return [
      `  ${name}${apart && !asked.includes(name) ? ' (apart)' : ''}`,
      verdict === 'holds' && run.claim.word === 'proved' ? 'proved' : WORDS[verdict],
      said(verdict === 'fails' ? `${steps} steps: ${story}` : promise, beyond) + where,
    ];
  });
  context.print(table([{ title: '' }, { title: '' }, { title: '' }], rows));
  context.print(`  ${[effort(run), ...bounds(run)].join('; ')}`);
  if (run.claim.because !== undefined)
    context.print(`  within bounds only: ${printable(run.claim.because)}`);
  if (stats) context.print(`  ${statistics(run)}`);
  const [first] = asked
    .filter((name) => run.properties[name].verdict === 'fails')
    .sort((a, b) => (run.properties[a].steps ?? 0) - (run.properties[b].steps ?? 0));
  if (first !== undefined) {
    const { picture = '', path = '' } = run.properties[first];
    context.print(`\n${first}:\n${picture}`);
    if (under !== undefined)
      context.print(
        `\nthe same schedule under ${printable(under)}:\n${replayUnder(path, under).picture}`,
      );
    context.print(`\nreplay: static-call check --path ${path}`);
    context.print(`see: ${pageAddress(path)}`);
  }
  context.print('');
}

/** What is said beside a verdict; of an unknown one, behind which failures nothing was seen. */
const said = (text: string, beyond: readonly PropertyName[] = []): string =>
  beyond.length === 0 ? text : `not broken up to the failure of ${beyond.join(', ')}`;

/**
 * What is explained: all in JSON, else what is printed, because an explanation takes a second
 * search.
 */
const needed = (
  { json }: Flags,
  asked: readonly PropertyName[],
): Pick<CheckOptions, 'explained'> =>
  json ? {} : { explained: printed(asked).map(({ name }) => name) };

/** The properties that a run is printed with: the ones asked for, and those reported apart. */
const printed = (asked: readonly PropertyName[]) =>
  PROPERTIES.filter(({ name, apart }) => apart || asked.includes(name));

const count = (n: number): string => n.toLocaleString('en-US');

function effort({ exhaustive, stopped, states, transitions, seconds, reduce }: RunReport): string {
  const seen = exhaustive ? 'all' : `stopped, ${stopped};`;
  const all = `${count(states)} states, ${count(transitions)} transitions`;
  return `${seen} ${all}, ${seconds.toFixed(2)} s, reduction ${reduce}`;
}

function statistics(run: RunReport): string {
  const { images, cpus, environments, instructions } = run.parts;
  const rate = (run.transitions / run.seconds / 1e6).toFixed(2);
  const edges = run.edgeBytesPerState.toFixed(0);
  const memory = `${run.bytesPerState.toFixed(0)} bytes a state, ${edges} for its edges`;
  const parts = `${count(images)} core images, ${count(cpus)} CPUs, ${environments} environments`;
  const executed = `${count(instructions)} instructions executed`;
  return `${rate} M transitions/s, ${memory}; interned: ${parts}; ${executed}`;
}

const SHORT: Readonly<Record<PropertyName, string>> = {
  torn: 'torn',
  target: 'target',
  'after-update': 'after',
  'after-update-strict': 'strict',
  'trap-after-return': 'late',
  stack: 'stack',
  flags: 'flags',
  slot: 'slot',
  lockdep: 'lockdep',
  'shadow-stack': 'shstk',
  deadlock: 'dead',
  livelock: 'live',
  'indirect-branch': 'indir',
  'indirect-branch-strict': 'ret',
  'stray-trap': 'stray',
  unwind: 'unwind',
};
const SIGNS = { holds: '.', fails: 'FAIL', unknown: '?', 'not-applicable': '-' } as const;

function printMatrix(context: Context, { runs }: CheckReport): void {
  const sorted = [...runs].sort((a, b) => order(a).localeCompare(order(b)));
  const rows = sorted.map((run) => [
    titleOf(run),
    run.environment,
    run.contexts.filter((name) => name !== 'task').join('+') || 'task',
    `${run.passes}/${run.updates}`,
    `${run.fetch}/${run.chunk}`,
    extras(run),
    ...PROPERTY_NAMES.map((name) => SIGNS[run.properties[name].verdict]),
    count(run.states),
  ]);
  const stories = sorted.flatMap((run) =>
    PROPERTY_NAMES.flatMap((name) => {
      const { verdict, story = '', path = '' } = run.properties[name];
      if (verdict !== 'fails') return [];
      return `${titleOf(run)} (${settings(run)}), ${name}: ${story}\n  static-call check --path ${path}`;
    }),
  );
  context.print(
    table(
      [
        ...['protocol', 'env', 'beside task', 'passes/updates', 'fetch', ''].map((title) => ({
          title,
        })),
        ...PROPERTY_NAMES.map((name) => ({ title: SHORT[name] })),
        { title: 'states', align: 'right' },
      ],
      rows,
    ),
  );
  const kinds = new Map(runs.map((run) => [`${titleOf(run)} ${run.environment}`, run]));
  context.print(
    `\nLeast that the hardware must promise (fetch level/chunk, 1 update, maskable contexts):\n${table(
      [{ title: '' }, { title: '' }],
      [...kinds]
        .sort()
        .map(([name, { protocol, variant, environment }]) => [
          `  ${name}`,
          weakestModel(runs, protocol, variant, environment) ?? 'holds at none',
        ]),
    )}`,
  );
  context.print(`\nWhat happens:\n${[...new Set(stories)].join('\n')}`);
}

const order = (run: RunReport): string =>
  `${run.environment} ${titleOf(run)} ${run.contexts.length} ${run.fetch} ${run.chunk} ${run.updates}`;
const extras = (run: RunReport): string =>
  [
    run.site === 'call' ? '' : run.site,
    run.dropSync === null ? '' : `-sync${run.dropSync}`,
    run.shadowStack ? 'shstk' : '',
    run.entry === '2019' ? '2019' : '',
    run.store === 'line' ? '' : run.store,
    run.tso ? '' : 'no-tso',
    run.patcher === 'task' ? 'task' : '',
  ]
    .filter((word) => word !== '')
    .join(' ');

/** The ladder of the zoo. It is a survey: to have been made is its success. */
async function showZoo(context: Context, { json, queue }: Flags): Promise<number> {
  const found = await withRunner(context, queue, async (made) => {
    using live = progress(context);
    return await ladder({
      ...made,
      signal: context.signal,
      onRun: (last, done) => live.show(() => `${done} searches: ${titleOf(last)}`),
    });
  });
  if (json) context.json('static-call/check-zoo@1', { ...found });
  else {
    const columns = LADDER_HEAD.map((title) => ({ title }));
    context.print(table(columns, ladderRows(found), (text) => context.paint('bold', text)));
    const { searches, states } = found;
    context.print(
      `\n${count(searches)} searches, ${count(states)} states; docs/zoo.md has the sources`,
    );
  }
  return EXIT.good;
}

function showPath(context: Context, flags: Flags, token: string): number {
  const path = replayToken(token);
  if (flags.json) context.json('static-call/check-path@1', { ...path });
  else {
    const whose = path.own ? ' (a protocol that came with the path)' : '';
    context.print(`${titleOf(path)}${whose}: ${printable(path.property)}\n`);
    context.print(path.picture);
    if (flags.under !== undefined)
      context.print(
        `\nthe same schedule under ${printable(flags.under)}:\n${replayUnder(token, flags.under).picture}`,
      );
    context.print('');
    for (const [i, { who, what, why, step }] of path.steps.entries()) {
      const actor = who < 0 ? 'patcher' : `CPU ${who}  `;
      const reason = why === null || step < 0 ? '' : `  (${why})`;
      context.print(printable(`${String(i + 1).padStart(3)}  ${actor}  ${what}${reason}`));
    }
  }
  if (flags.svg !== undefined) replaceFile(flags.svg, svgOf(token, flags.under));
  return EXIT.no;
}

/** A failure as an image, beside the same schedule under another protocol where one is named. */
const svgOf = (token: string, under: string | undefined): string =>
  (under === undefined ? replayToken(token) : replayUnder(token, under)).svg;

/** False where nothing failed. */
function writePicture(
  { runs }: CheckReport,
  asked: readonly PropertyName[],
  { svg, under }: Flags & { readonly svg: string },
): boolean {
  for (const run of runs)
    for (const name of asked) {
      const { path } = run.properties[name];
      if (path === undefined) continue;
      replaceFile(svg, svgOf(path, under));
      return true;
    }
  return false;
}
