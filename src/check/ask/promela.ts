// A protocol as a Promela model, which SPIN searches. A state of it is a state of ours: the
// patcher, what all share, and each CPU. The model has the four tables that say what each of these
// may do next, and no list of states or of moves between them: SPIN puts the CPUs together, keeps
// the set of visited states and judges each move. A pair that our search never met has no row, and
// a SPIN that comes to one ends with that. docs/proof.md says how the counts correspond.
//
// One file holds a part for each search that answers for the protocol, chosen by `-DPART=N`.

import { Fault } from '../../base/fault.js';
import { CPU } from '../../machine/sim/model.js';
import { titled, type Proposal } from '../../zoo/proposal.js';
import { isEndless, type Configuration } from '../configuration.js';
import { PROPERTIES } from '../properties.js';
import { build, shapeOf } from '../search/build.js';
import { ClosedSet, MOVE_WORDS, PROMISES, watchedSets, type Rows } from './closed.js';

/** A model, and what SPIN must count in each of its parts. */
export interface PromelaModel {
  readonly text: string;
  readonly parts: readonly { readonly states: number; readonly transitions: number }[];
}

/**
 * @throws Fault `bad-usage` where what the protocol does is no such table, or has too many states
 */
export function promela(
  proposal: Proposal,
  configuration: Configuration,
  statesMax: number,
): PromelaModel {
  const { contexts, patcher, reduce, cpus } = configuration;
  const title = titled(proposal);
  const refuse = (why: string, hint?: string): never => {
    const detail = hint === undefined ? {} : { hint };
    throw new Fault('bad-usage', `${title} cannot be written for SPIN: ${why}`, detail);
  };
  if (contexts.includes('preempt'))
    refuse('a switch of tasks changes two parts of a state at once', 'leave out context preempt');
  if (patcher === 'task')
    refuse('the patcher is one of the tasks, and has no table', 'leave out --patcher task');
  if (reduce === 'sym' || reduce === 'por')
    refuse('SPIN takes every move of every CPU', 'ask for --reduce none or macro');
  const whole = build(proposal, configuration, { plain: reduce === 'none', split: true });
  const shape = shapeOf(configuration, reduce);
  const options = { cpus: shape.cpus, statesMax, stands: cpus === 'any', refuse };
  const make = (model: typeof whole): ClosedSet => new ClosedSet(model, options);
  const sets = isEndless(configuration)
    ? [...watchedSets(whole, configuration, make)].map(({ set }) => set)
    : [make(whole)];
  const texts = sets.map((set, i) => {
    const counts = `${set.states.count} states, ${set.transitions} transitions`;
    return `#if PART == ${i}\n/* Our search: ${counts}. */\n${partOf(set)}#endif\n`;
  });
  const parts = sets.map(({ states, transitions }) => ({ states: states.count, transitions }));
  const most = Math.max(...parts.map(({ states }) => states));
  const head = headOf(title, configuration, most, sets.length);
  return { text: [head, ...texts, interpreter(sets, shape.cpus)].join('\n'), parts };
}

/** The promises that make an answer "no", as bits. */
const JUDGED = PROMISES.reduce(
  (bits, promise, i) =>
    PROPERTIES.some(({ name, apart }) => name === promise && !apart) ? bits | (1 << i) : bits,
  0,
);

function headOf(title: string, configuration: Configuration, most: number, parts: number): string {
  const bits = PROMISES.map((name, i) => ` *   ${1 << i} ${name}`).join('\n');
  const settings = JSON.stringify(configuration).replaceAll('*/', '* /');
  return `/*
 * ${title}
 * ${settings}
 *
 * Written by static-call check --export promela. Search it with
 *
 *   spin -a -DPART=0 FILE && cc -O2 -w -DSAFETY -DNOREDUCE -o pan pan.c && ./pan -m${most + 1}
 *
 * PART is 0 to ${parts - 1}. "states, stored" and "transitions" are those of our search of the same
 * part. A promise that is judged and broken is an assertion that fails, and so is a state without a
 * move that is no end. Which promises are judged is the sum of these, or what -DJUDGED=SUM says:
${bits}
 */
#ifndef PART
#define PART 0
#endif
#ifndef JUDGED
#define JUDGED ${JUDGED}
#endif
`;
}

/** SPIN copies a block of C through a buffer of 64 KiB. */
const BLOCK_CHARS = 50_000;
const LINE_CHARS = 100;

/** A table as arrays of numbers: two keys, how many numbers follow, these. */
function* blocksOf(name: string, rows: Iterable<readonly number[]>): Generator<string> {
  const names: string[] = [];
  let lines: string[] = [];
  let line = '';
  let chars = 0;
  const block = (): string => {
    const each = `${name}_${names.length}`;
    names.push(each);
    const body = [...lines, `${line} -1`].join('\n');
    [lines, line, chars] = [[], '', 0];
    return `c_decl {\nstatic const int ${each}[] = {\n${body} };\n}\n`;
  };
  for (const row of rows) {
    for (const word of row) {
      const text = ` ${word},`;
      if (line.length + text.length > LINE_CHARS) {
        lines.push(line);
        line = '';
      }
      line += text;
      chars += text.length;
    }
    if (chars > BLOCK_CHARS) yield block();
  }
  yield block();
  yield `c_decl {\nstatic const int *const ${name}[] = { ${names.join(', ')}, 0 };\n}\n`;
}

/** Tables and initial state of one part. */
function partOf(set: ClosedSet): string {
  const { moves, patching, broadcasts, bits, states, model } = set;
  const [patcher, environment, ...cpus] = states.get(0);
  const patchers = new Set(Array.from(patching, ([one]) => one));
  const flags = [
    ...[...bits].map(([each, of]) => [0, each, 1, of & (CPU.asked | CPU.done)]),
    ...[...patchers].map((each) => [1, each, 1, model.patcherDone(each) ? CPU.done : 0]),
  ];
  return [
    ...blocksOf('MOVES', flat(moves)),
    ...blocksOf('PATCHING', flat(patching)),
    ...blocksOf('BROADCASTS', flat(broadcasts)),
    ...blocksOf('FLAGS', flags),
    `int patcher = ${patcher};\nint environment = ${environment};\n`,
    `int cpu[${cpus.length}] = ${cpus[0]};\n`,
  ].join('');
}

function* flat(rows: Rows): Generator<readonly number[]> {
  for (const [one, two, row] of rows) yield [one, two, row.length, ...row];
}

/** The most moves that a row of any part has. */
const mostOf = (all: readonly Rows[]): number => {
  let most = 0;
  for (const rows of all)
    for (const [, , row] of rows) most = Math.max(most, row.length / MOVE_WORDS);
  return most;
};

/** What is the same in every model: how rows are found, and what a move does. */
function interpreter(sets: readonly ClosedSet[], cpus: number): string {
  const numbered = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
  const ofCpu = numbered(mostOf(sets.map(({ moves }) => moves)));
  const ofPatcher = numbered(mostOf(sets.map(({ patching }) => patching)));
  const choices = [
    ...numbered(cpus).flatMap((who) =>
      ofCpu.map((i) => ({
        name: `CPU_${who}_MAY_${i}`,
        may: `cpu_may(${who}, ${i})`,
        does: `c_code { cpu_does(${who}, ${i}); }; assert(broken == 0)`,
      })),
    ),
    ...ofPatcher.map((i) => ({
      name: `PATCHER_MAY_${i}`,
      may: `patcher_may(${i})`,
      does: `c_code { patcher_does(${i}); }`,
    })),
    { name: 'STANDS_STILL', may: 'stands_still()', does: 'assert(false)' },
  ];
  // SPIN takes a call for a side effect, so conditions are macros of C.
  return `c_decl {
${TABLES}${choices.map(({ name, may }) => `\\#define ${name} ${may}`).join('\n')}
}
c_code {
${STEPS.replaceAll('CPUS', String(cpus))}}

/* What the last move broke of what is judged; no part of a state. */
hidden int broken;

active proctype machine() {
end:
  do
${choices.map(({ name, does }) => `  :: d_step { c_expr { ${name} } -> ${does} }`).join('\n')}
  od
}
`;
}

/** C in front of the declaration of SPIN's state. */
const TABLES = `enum { ASKED = ${CPU.asked}, DONE = ${CPU.done}, WORDS = ${MOVE_WORDS} };

/* Rows by their two keys: a row is the count of its numbers, and these. */
typedef struct { const int **rows; int high, low; } Table;

static void index_rows(Table *table, const int *const *pieces) {
  const int *const *piece;
  const int *row;
  for (piece = pieces; *piece; piece++)
    for (row = *piece; row[0] >= 0; row += 3 + row[2]) {
      if (row[0] >= table->high) table->high = row[0] + 1;
      if (row[1] >= table->low) table->low = row[1] + 1;
    }
  table->rows = calloc((size_t) table->high * table->low + 1, sizeof *table->rows);
  for (piece = pieces; *piece; piece++)
    for (row = *piece; row[0] >= 0; row += 3 + row[2])
      table->rows[(size_t) row[0] * table->low + row[1]] = row + 2;
}

/* A pair that our search never met has no row: SPIN went where we did not. */
static const int *row_of(Table *table, const int *const *pieces, int one, int two) {
  const int *row = 0;
  if (!table->rows) index_rows(table, pieces);
  if (one < table->high && two < table->low) row = table->rows[(size_t) one * table->low + two];
  if (row) return row;
  printf("no row for %d %d: the tables are not closed\\n", one, two);
  exit(3);
}

static Table moves, patching, broadcasts, flags;
static const int *moves_of(int cpu, int environment) { return row_of(&moves, MOVES, cpu, environment); }
static const int *patching_of(int patcher, int environment)
{
  return row_of(&patching, PATCHING, patcher, environment);
}
static int after(int broadcast, int cpu)
{
  return broadcast < 0 ? cpu : row_of(&broadcasts, BROADCASTS, broadcast, cpu)[1];
}
static int cpu_flags(int cpu) { return row_of(&flags, FLAGS, 0, cpu)[1]; }
static int patcher_flags(int patcher) { return row_of(&flags, FLAGS, 1, patcher)[1]; }
`;

/** C behind it. */
const STEPS = `static int asked(void) {
  int i;
  for (i = 0; i < CPUS; i++) if (cpu_flags(now.cpu[i]) & ASKED) return 1;
  return 0;
}
static void arrive(int environment, int broadcast) {
  int i;
  now.environment = environment;
  for (i = 0; i < CPUS; i++) now.cpu[i] = after(broadcast, now.cpu[i]);
}

/* A CPU of -1 cannot go on. That is no move, unless it breaks what is judged. */
static int cpu_may(int who, int i) {
  const int *row = moves_of(now.cpu[who], now.environment);
  const int *move = row + 1 + WORDS * i;
  return WORDS * i < row[0] && (move[0] >= 0 || (move[3] & JUDGED));
}
static void cpu_does(int who, int i) {
  const int *move = moves_of(now.cpu[who], now.environment) + 1 + WORDS * i;
  broken = move[3] & JUDGED;
  if (move[0] < 0) return;
  now.cpu[who] = move[0];
  arrive(move[1], move[2]);
}

/* Some moves of the patcher wait until no CPU is asked for anything. */
static int patcher_may(int i) {
  const int *row = patching_of(now.patcher, now.environment);
  return WORDS * i < row[0] && !(row[4 + WORDS * i] && asked());
}
static void patcher_does(int i) {
  const int *move = patching_of(now.patcher, now.environment) + 1 + WORDS * i;
  now.patcher = move[0];
  arrive(move[1], move[2]);
}

static int stands_still(void) {
  int who, i;
  for (i = 0; WORDS * i < patching_of(now.patcher, now.environment)[0]; i++) if (patcher_may(i)) return 0;
  for (who = 0; who < CPUS; who++)
    for (i = 0; WORDS * i < moves_of(now.cpu[who], now.environment)[0]; i++) if (cpu_may(who, i)) return 0;
  for (who = 0; who < CPUS; who++) if (!(cpu_flags(now.cpu[who]) & DONE)) return 1;
  return !(patcher_flags(now.patcher) & DONE);
}
`;
