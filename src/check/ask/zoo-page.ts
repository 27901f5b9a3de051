// docs/zoo.md and what `check --zoo` prints, out of the ladder that the searches found. The texts
// here say what a rung is and which manual grants it; no system is named, and no verdict written
// down.

import { ranges } from '../../zoo/place.js';
import {
  LADDER_BOUNDS,
  RUNGS,
  type Ladder,
  type LadderRow,
  type Rung,
  type Standing,
} from './ladder.js';
import { grid } from './page.js';

interface RungText {
  readonly title: string;
  /** What the CPU, or somebody else, must keep. */
  readonly promise: string;
  /** Who grants or denies it. */
  readonly manual: string;
}

const INTEL =
  'Intel SDM volume 3, 9.1.3 grants nothing to a CPU that runs modified code without a serialising ' +
  'instruction in between';
const AMD = 'AMD APM volume 2, 7.6.1 grants one store inside an aligned quadword, and no more';
/** What each rung asks for, and which manual says so. */
export const RUNG_TEXTS: Readonly<Record<Rung, RungText>> = {
  byte: {
    title: 'one byte',
    promise: 'a byte is fetched old or new, from whatever time since the CPU serialised',
    manual: 'both manuals: nothing can be between two values of a byte',
  },
  qword: {
    title: 'an aligned quadword',
    promise: 'the bytes of an aligned quadword are fetched together',
    manual: `${AMD}. ${INTEL}`,
  },
  fetch16: {
    title: '16 bytes',
    promise: 'the bytes of an aligned block of 16 are fetched together',
    manual: `no manual: ${AMD}`,
  },
  fetch32: {
    title: '32 bytes',
    promise: 'the bytes of an aligned block of 32 are fetched together',
    manual: `no manual: ${AMD}`,
  },
  line: {
    title: 'a line',
    promise: 'the bytes of a cache line are fetched together',
    manual:
      `no manual: ${AMD}. AMD CPUs of families 25 and 26 were seen to break it over the middle of a ` +
      'line ([fetch32.md](fetch32.md))',
  },
  'in-order': {
    title: 'coherent fetch in order',
    promise: 'a CPU fetches what memory holds, whole lines, one after the other',
    manual: `no manual: ${INTEL}`,
  },
  instant: {
    title: 'an instruction at one instant',
    promise: 'all bytes of an instruction are fetched at one instant, over the end of a line too',
    manual: 'no manual; CPUs were seen to break it (`check --litmus`)',
  },
  stopped: {
    title: 'everybody stopped',
    promise: 'no other thread runs while the text is written, and each serialises when it goes on',
    manual: 'Intel SDM volume 3, 9.1.3 describes exactly that for code that another CPU modifies',
  },
  nothing: {
    title: 'nothing suffices',
    promise:
      'it fails even while everybody else stands: a thread may stand where the text changes, or the ' +
      'trap handler itself is at fault',
    manual: 'no manual can help',
  },
};

const isAbove = ({ standing: { rung, stops } }: LadderRow): boolean =>
  RUNGS.indexOf(rung) > RUNGS.indexOf('qword') && !(rung === 'stopped' && stops);

const where = ({ worst, places, needed }: Standing): string =>
  needed === places
    ? 'at every place that it takes'
    : `at ${needed} of ${places} places, such as ${worst} of its line`;

const sentence = (text: string): string =>
  text.charAt(0).toUpperCase() + text.slice(1) + (text.endsWith('.') ? '' : '.');
const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

/** What stands on a rung, in words; systems that stop everybody do so by themselves. */
const standsOn = ({ rung, stops }: Standing): string => {
  const { title } = RUNG_TEXTS[rung];
  if (stops && rung !== 'stopped' && rung !== 'nothing') return `everybody stopped, and ${title}`;
  if (rung !== 'stopped') return title;
  return stops ? 'everybody stopped, by itself' : 'everybody stopped, and it stops no thread';
};

/** For the terminal: one row each, from the least that is asked of a CPU. */
export const ladderRows = ({ rows }: Ladder): readonly (readonly string[])[] =>
  sorted(rows).map(({ system, standing, mended, broken }) => [
    standsOn(standing),
    system.name,
    system.title,
    String(standing.worst),
    `${standing.needed} of ${standing.places}`,
    mended === null ? '' : standsOn(mended),
    broken === null ? '' : standsOn(broken),
  ]);
export const LADDER_HEAD = [
  'stands on',
  'system',
  '',
  'worst offset',
  'places',
  'with one line changed',
  'broken again',
] as const;

const sorted = (rows: readonly LadderRow[]): readonly LadderRow[] => {
  const order = ({ standing: { rung, stops } }: LadderRow): number =>
    2 * RUNGS.indexOf(rung) + (stops ? 0 : 1);
  return [...rows].sort((a, b) => order(a) - order(b));
};

/**
 * The page docs/zoo.md.
 *
 * @example
 * const page = zooPage({ rows: [], searches: 0, states: 0 });
 * if (!page.startsWith('# Who stands on which promise')) throw new Error('a page of what?');
 */
export function zooPage(found: Ladder): string {
  const rows = sorted(found.rows);
  const parts = [
    `# Who stands on which promise\n\n${INTRODUCTION}`,
    `## Which systems rely on more than the aligned quadword\n\n${ABOVE}\n\n${aboveTable(rows)}`,
    `## The ladder\n\n${LADDER}\n\n${ladderTable(rows)}`,
    `## Bounds\n\n${bounds(found)}`,
    `## Each system\n\n${EACH}\n\n${rows.map(card).join('\n\n')}`,
    `## What is not here\n\n${MISSING}`,
  ];
  return `${parts.join('\n\n')}\n`;
}

const INTRODUCTION = `Programs that rewrite instructions while others run them bet on what a CPU
fetches. This page lays the bets side by side. For each patcher the checker searched for the least
that the hardware must promise so that no thread ever executes a mixture of two instructions, or
goes where it should not.

Written by \`node scripts/zoo.mjs\` from searches made now; a test makes the page again and
compares. \`static-call check --zoo\` prints the table, and \`static-call check NAME\` searches one
row. **Each system was modelled from its source at the commit that is named, and was not run here.**
A row says what the steps need, not that a failure was ever seen.`;

const ABOVE = `Only the aligned quadword is granted by a manual (AMD's). These need more, at the
worst place that they accept. Systems that stop all other threads themselves are not among them.`;

const LADDER = `From the least that a CPU must promise. A system stands on the first rung on which
it holds at every place that it accepts.`;

const EACH = `The picture is the shortest way to the first failure one rung below, at the worst
place. Time runs downward, and a star marks a byte that changed. *Mended* and *broken* are searched
like the rest: one changed line that helps, and the known bug put back or the thing taken away that
it stands on.`;

const MISSING = `These could not be said, and are left out:

- **HotSpot's post-call nop** (NativePostCallNop::make_deopt) rests on an instruction that raises #UD,
  whose handler the model has not. Its four bytes are stored at any alignment.
- **The code that a call is retargeted to** is taken to be there long before. That a CPU may still have
  what stood there (JavaScriptCore signals each thread for that; others do not) needs text at the
  target that the protocol writes.
- **nmethod entry barriers** compare a word in one place and change code in another: two places.
- **ftrace of 2.6.28**, where an NMI first writes the same bytes itself, needs an entry hook that stores
  to text. H. Peter Anvin's **mask of CPUs that have yet to acknowledge** (13 January 2019), which a
  trap handler clears as the IPI's does, needs a word that both clear; his **bounded spin** two days
  later is \`int3-abort\` with a delay.
- **Detours, Frida and uftrace over several instructions**: threads that stand between them are moved,
  or not; here the replaced instruction is one.
- **uftrace** patches before \`main\`, with one thread. LuaJIT, CoreCLR and the PLT change data. Windows'
  hot patching, Dyninst and YJIT were not read.`;

function bounds({ searches, states }: Ladder): string {
  const { passes, cpus } = LADDER_BOUNDS;
  const [made, seen] = [searches, states].map((n) => n.toLocaleString('en-US'));
  return `${made} searches of ${seen} states in all, each to its end or to a failure:
${passes} pass of a task on ${cpus} CPUs beside the patcher, up to 2 updates (1 where a system never
goes back), TSO store buffers. A store is whole inside a line, and two stores over the end of one; a
LOCKed store is whole there too. Where a system plants traps, maskable interrupts or signals come in
between. All offsets in a line that the system accepts were tried, those together between which
nothing differs. Systems that promise no more than old or new are not judged by which of the two
runs.`;
}

function aboveTable(rows: readonly LadderRow[]): string {
  const above = rows.filter(isAbove);
  return grid(
    ['system', 'needs', 'where', 'why: the first failure below', 'what would mend it'],
    above.map(({ system, standing, mended }) => [
      `[${system.title}](#${anchor(system.name)})${system.status === 'ships' ? '' : ` (${system.status})`}`,
      standsOn(standing),
      where(standing),
      cell(standing.failure?.story ?? ''),
      mended === null || system.mended === null
        ? ''
        : cell(`${system.mended.says}: ${standsOn(mended)}`),
    ]),
  );
}

function ladderTable(rows: readonly LadderRow[]): string {
  return grid(
    ['rung', 'the promise', 'who grants it', 'who stands on it'],
    RUNGS.map((rung) => {
      const { title, promise, manual } = RUNG_TEXTS[rung];
      const on = rows
        .filter(({ standing }) => standing.rung === rung)
        .map(({ system, standing }) => {
          const alone = rung === 'stopped' && !standing.stops ? ' (stops no thread)' : '';
          return `[${system.name}](#${anchor(system.name)})${alone}`;
        });
      return [`**${title}**`, promise, manual, on.join(', ') || 'none'];
    }),
  );
}

const anchor = (name: string): string => name;

/** Everything about one system. */
function card({ system, standing, mended, broken }: LadderRow): string {
  const { name, title, status, read, protocol, bugs, leaves } = system;
  const { failure } = standing;
  const changed = (word: string, says: string, now: Standing): string =>
    `- **${word}:** ${says}: ${standsOn(now)}, ${where(now)}.`;
  const lines = [
    `### ${name}`,
    '',
    `**${title}** (${status}). ${sentence(protocol.about)}`,
    '',
    ...read.map(
      ({ repository, path, what, commit, licence }) =>
        `- **Read:** ${[repository, path, what].filter((word) => word !== '').join(', ')}` +
        `${commit === '' ? '' : `, at ${commit}`} (${licence}).`,
    ),
    `- **Stands on:** ${standsOn(standing)}, ${where(standing)}; the worst offset is ${standing.worst}.`,
    ...(mended === null ? [] : [changed('Mended', system.mended?.says ?? '', mended)]),
    ...(broken === null ? [] : [changed('Broken', system.broken?.says ?? '', broken)]),
    ...bugs.map((bug) => `- **Its own record:** ${sentence(bug)}`),
    ...(leaves === '' ? [] : [`- **Left out:** ${sentence(leaves)}`]),
    ...(protocol.steps.length === 0
      ? []
      : [`- **Sites:** offsets ${placesText(system, standing)}.`]),
  ];
  const drawn =
    failure === null
      ? []
      : [
          '',
          `With no more than ${RUNG_TEXTS[failure.below].title}, \`${failure.property}\` fails:`,
          '',
          '```',
          failure.picture,
          '```',
        ];
  return [...lines, ...drawn].join('\n');
}

function placesText({ protocol }: LadderRow['system'], { places }: Standing): string {
  const offset = protocol.place?.offset;
  if (offset === undefined) return places === 64 ? 'all of a line' : `${places} of 64`;
  return 'align' in offset ? `${offset.at} modulo ${offset.align}` : ranges(offset);
}
