// The page's first screen: for each way of patching that was proposed, whether it is right, how it
// fails, and what it assumes of the hardware. A row says only what the way is; its verdict, its
// story and its assumption are taken from the runs.

import type { ContextName } from '../configuration.js';
import type { RunReport } from '../result.js';
import { holds, isDefault, weakestModel, type ModelName } from './matrix.js';
import { failed, job, storyOf, type Page } from './page.js';

interface Answer {
  /** What is done, in the words of the thread. */
  readonly way: string;
  /** Protocols, the one that the way is about first. */
  readonly names: readonly string[];
}

const ANSWERS: readonly Answer[] = [
  {
    way: 'Writing the new bytes in place, one after the other, and synchronising afterwards',
    names: ['naive'],
  },
  {
    way: `Writing them with one atomic store, which needs no breakpoint. Sites whose changed bytes
lie inside an aligned quadword are patched, the others stay on their trampoline; \`in-line\` only
asks that they lie inside a cache line, as the first series did`,
    names: ['store', 'store/in-line'],
  },
  {
    way: `Leaving the sites alone and patching only the trampoline that they call, an aligned jump:
the "out-of-line" static calls of the series`,
    names: ['trampoline'],
  },
  {
    way: `\`text_poke_bp\`: a trap byte first, then the rest, then the first byte, a
synchronisation after each; a CPU that meets the trap byte emulates the call by pushing the return
address itself, into a gap that the entry code leaves below its frame. This is what was merged;
\`no-gap\` is the same without the gap`,
    names: ['int3-gap', 'int3-gap/no-gap'],
  },
  {
    way: `The same, but the trap's frame is shifted on the way out to make room for the return
address`,
    names: ['int3-shift'],
  },
  {
    way: `The first series: the handler returns to a stub, which makes the call with the return
address and the target kept in global variables`,
    names: ['int3-stub'],
  },
  {
    way: `Skipping the call instead of emulating it, as ftrace did for its nops`,
    names: ['int3-skip'],
  },
  {
    way: `A trampoline that pushes the return address from per-CPU variables, so that the entry code
needs no change: with interrupts kept off (\`fixed\`), with a second set of variables for NMI (Linus
Torvalds), and with one set for each level of nesting (Nicolai Stange)`,
    names: ['int3-percpu/fixed', 'int3-percpu-nmi', 'int3-levels'],
  },
  {
    way: `H. Peter Anvin's state machine, in which a CPU that traps gives the update up or finishes
it, and runs the site again; \`waiting\` begins each attempt afresh`,
    names: ['int3-abort', 'int3-abort/synced', 'int3-abort/waiting'],
  },
  {
    way: `Stopping every other CPU while the bytes are written, and releasing them with a
serialising instruction; \`plain\` releases them without one`,
    names: ['stop-machine', 'stop-machine/plain'],
  },
  {
    way: `In a process: the same three steps as \`text_poke_bp\`, with membarrier(SYNC_CORE) as the
synchronisation and a table of traps that is never taken down. This is what the library runs;
\`int3-retire\` takes the table down after the last synchronisation`,
    names: ['int3', 'int3-retire'],
  },
  {
    way: `In a process that can have no handler: every thread is stopped by ptrace, the bytes are
written, and each thread goes on by IRET. This is \`attach\` with protocol \`stop\`; in \`plain\` the
threads go on by SYSRET, which serialises nothing, and in \`blind\` the text is two instructions and a
thread may stand between them`,
    names: ['stop', 'stop/plain', 'stop/blind'],
  },
];

/** What a protocol assumes where this model is the first under which it holds. */
const ASSUMES: Readonly<Record<ModelName, string>> = {
  'F4/byte': `assumes only what Intel's manual grants to cross-modified code: new bytes other than
the trap byte run on a CPU after it has serialised`,
  'F3/byte':
    'holds even where a CPU fetches byte by byte and mixes old bytes with new ones ' +
    'until it serialises',
  'F3/qword': `assumes that a CPU fetches an aligned quadword whole, which AMD's manual promises
and Intel's does not`,
  'F3/fetch16': 'assumes that a CPU fetches 16 aligned bytes whole, which no manual promises',
  'F3/fetch32': 'assumes that a CPU fetches 32 aligned bytes whole, which no manual promises',
  'F3/line': `assumes that a CPU fetches a cache line whole, which no manual promises and at least
one AMD CPU does not do`,
  'F1a/byte':
    'assumes that every byte that a CPU fetches is the newest one, which no manual promises',
  'F1/line': 'assumes that a CPU fetches lines whole and newest, which no manual promises',
  'F0/byte':
    'assumes that a CPU fetches each instruction whole, at one instant, which no manual promises',
};
const NOTHING_HELPS =
  'No promise about fetching repairs it: ' +
  'it fails even if each instruction is fetched whole, at one instant';

const WORDS: Readonly<Record<ContextName, string>> = {
  task: 'tasks',
  irq: 'interrupts',
  nmi: 'NMIs',
  'nested-nmi': 'nested NMIs',
  mc: 'machine checks',
  db: 'debug exceptions',
  preempt: 'preemption',
  signal: 'signals',
};
const list = new Intl.ListFormat('en', { type: 'conjunction' });
function contextsOf({ contexts, cpus }: RunReport): string {
  const events = contexts.filter((name) => name !== 'task').map((name) => WORDS[name]);
  return `${list.format(events) || 'no events'}${cpus === 1 ? ' on one CPU' : ''}`;
}

/** The verdict on one protocol over the contexts of the default table, mildest first. */
function judged(page: Page, name: string): string {
  const { protocol, variant, configuration } = job(name);
  const { environment } = configuration;
  const runs = page.runs
    .filter((run) => isDefault(run) && run.protocol === protocol && run.variant === variant)
    .filter((run) => run.environment === environment && !run.contexts.includes('db'))
    .sort((a, b) => a.contexts.length - b.contexts.length || Number(a.updates) - Number(b.updates));
  const model = weakestModel(page.runs, protocol, variant, environment);
  const wrong = failures(page, runs);
  const [first] = wrong;
  const last = runs.at(-1);
  if (last === undefined || !runs.every(({ exhaustive }) => exhaustive))
    return `\`${name}\`: **unknown**.`;
  if (first === undefined) {
    const assumption = model === null ? '' : `; it ${ASSUMES[model]}`;
    return `\`${name}\` **holds** with ${contextsOf(last)}${assumption}.`;
  }
  const said = wrong.map(({ text }) => text).join(' and ');
  const story = `${storyOf(first.run)}.`;
  if (model === null) return `\`${name}\` **fails** ${said}: ${story} ${NOTHING_HELPS}.`;
  const mild = page.of(job(name, { updates: 1 }));
  const fails = `**fails** ${said}: ${story}`;
  const assumption = ASSUMES[model];
  if (holds(mild))
    return `\`${name}\` ${fails} With ${contextsOf(mild)} it **holds**, and ${assumption}.`;
  const only = '**holds only under an assumption on the hardware**';
  return `\`${name}\` ${only}: it ${assumption}. Without that it ${fails}`;
}

/** Each property where it fails first, from the mildest contexts on. */
function failures(page: Page, runs: readonly RunReport[]) {
  const seen = new Set<string>();
  return runs.flatMap((run) => {
    const fresh = failed(run).filter((name) => !seen.has(name));
    for (const name of fresh) seen.add(name);
    const links = list.format(fresh.map((name) => page.picture(run, name, '')));
    return fresh.length === 0 ? [] : [{ run, text: `with ${contextsOf(run)} (${links})` }];
  });
}

const SYNCS = [1, 2, 3] as const;
/** What fails without each of the synchronisations. */
function withoutSyncs(page: Page, name: string): string {
  const said = SYNCS.map((dropSync) => {
    const each = job(name, { site: 'call', dropSync, fetch: 'F3' });
    const verdict = page.verdict(each, `without sync ${dropSync}, call to call, F3`);
    return verdict === 'holds'
      ? `without number ${dropSync} it **holds**`
      : `without number ${dropSync} it **fails** (${verdict})`;
  });
  return `- \`${name}\`: ${said.join('; ')}.`;
}

const oneLine = (text: string): string => text.replaceAll('\n', ' ');

export function answers(page: Page): string {
  const paragraphs = ANSWERS.map(({ way, names }) =>
    [`**${way}.**`, '', ...names.map((name) => `- ${oneLine(judged(page, name))}`)].join('\n'),
  );
  const syncs = [
    '**Leaving one of the three synchronisations out**, ' +
      'at the fetch level that the tables below assume.',
    '',
    ...['int3-gap', 'int3-gap/permanent', 'int3'].map((name) => withoutSyncs(page, name)),
  ].join('\n');
  return [...paragraphs, syncs].join('\n\n');
}
