#!/usr/bin/env node
// Writes docs/performance.md from a run of the benchmark: from the one that is given (what
// `static-call bench --json` printed), else from one made now, which takes under two minutes. The
// run is kept beside the page as docs/performance.json. Every figure of the page is taken from
// there, so that prose and record are of one run; test/bench/performance.test.ts compares them.
import { writeFileSync } from 'node:fs';
import { writePictures } from './pictures.mjs';
import { runBench, SECONDS } from '../dist/bench/bench.js';
import { readStored, SCHEMA } from '../dist/bench/gate.js';
import { GROUPS } from '../dist/bench/result.js';
import { show } from '../dist/bench/show.js';
import { text } from '../dist/cli/commands/bench.js';

const CALL = 'A call: one call in a loop';
const MANY = 'A call: 4,096 calls one after the other';
const UPDATE = {
  idle: 'An update: no thread running',
  beside: 'An update: one thread running, elsewhere in the program',
  through: 'An update: one thread calling through the sites all the time',
};
const XRAY =
  'Against XRay: one thread calling through the sites, or through the instrumented functions';
const PAUSE = 'The pause: the longest gap between two passes of the running thread, while';
const TRAP = 'The trap: a call that meets it is emulated';
const START = 'Starting';
const BRANCH = 'A branch: one in a loop';
const BATCH = 'An update of several keys, no thread running';
const OUTSIDE = 'An update from outside, and by a C program: one thread running, elsewhere in it';

/**
 * What was set out to be reached: where it is read, the limit, and why it may not be reached.
 * `least`: not at most but at least. `beyond`: what is left of the median after 1.15 times what the
 * row is held against. `tail`: the 99th percentile to the median. `bare`: what the row cannot go
 * below, measured in the same run; the reason ends with its time. A run that was made before a goal
 * was set lacks its row.
 */
const GOALS = [
  {
    what: 'patched call in a tight loop, to a direct call, beyond what two copies differ by',
    at: [CALL, 'tight/inline'],
    of: 'beyond noise',
    limit: 1.01,
  },
  { what: 'trampoline, the same', at: [CALL, 'tight/trampoline'], of: 'ratio', limit: 1.2 },
  {
    what: 'retpoline, the same',
    at: [CALL, 'tight/retpoline'],
    of: 'ratio',
    limit: 9,
    least: true,
    why: 'see "Retpolines"',
  },
  {
    what: 'one site, `int3`, `alias`, to three bare membarriers',
    at: [UPDATE.beside, '1/alias/int3'],
    of: 'ratio',
    limit: 1.15,
  },
  {
    what: 'one site, `int3`, `procmem`, the same',
    at: [UPDATE.beside, '1/procmem/int3'],
    of: 'ratio',
    limit: 1.35,
    why: 'its bare membarriers and writes alone took',
    bare: [UPDATE.beside, '1/procmem/int3/written'],
  },
  {
    what: 'one site, `store`, to one bare membarrier',
    at: [UPDATE.beside, '1/alias/store'],
    of: 'ratio',
    limit: 1.3,
  },
  {
    what: "10,000 sites, `store`, to XRay's 10,000 functions",
    at: [XRAY, '10000/alias/store'],
    of: 'ratio',
    limit: 1,
  },
  {
    what: '10,000 sites, `int3`, `alias`, the same',
    at: [XRAY, '10000/alias/int3'],
    of: 'ratio',
    limit: 1.5,
  },
  {
    what: '10,000 sites, `int3`, `procmem`, the same',
    at: [XRAY, '10000/procmem/int3'],
    of: 'ratio',
    limit: 4,
    why: 'each site is written by itself, so that no byte between two sites is',
  },
  {
    what: '100,000 sites, `int3`, `alias`, no thread running',
    at: [UPDATE.idle, '100000/alias/int3'],
    of: 'median',
    limit: 1.5e6,
  },
  {
    what: 'the same, a thread calling through the sites',
    at: [UPDATE.through, '100000/alias/int3'],
    of: 'median',
    limit: 1.5e6,
    why: 'it stores to every site three times, and one bare store to each took',
    bare: [UPDATE.through, 'stored100000'],
  },
  {
    what: 'time for a site at 1,000,000 to that at 10,000, `int3`',
    at: [UPDATE.through, '1000000/alias/int3', '10000/alias/int3'],
    of: 'a site',
    limit: 4,
  },
  {
    what: 'a hook off and on, `procmem`, beyond 1.15 bare membarriers',
    at: [UPDATE.beside, '1/procmem/hook'],
    of: 'beyond',
    limit: 4000,
  },
  {
    what: 'the same, over the end of a quadword',
    at: [UPDATE.beside, '1+5/procmem/hook'],
    of: 'beyond',
    limit: 4000,
  },
  {
    what: 'traps while it does, a thread calling through the site',
    at: [TRAP, '1/procmem/hook/traps'],
    of: 'count',
    limit: 0,
  },
  {
    what: 'off to another target, `procmem`, beyond 1.15 times two bare membarriers',
    at: [UPDATE.beside, '1/procmem/elsewhere'],
    of: 'beyond',
    limit: 4000,
    why: 'its bare membarriers and writes alone took',
    bare: [UPDATE.beside, '1/procmem/elsewhere/written'],
  },
  {
    what: 'traps while it does, a thread calling through the site',
    at: [TRAP, '1/procmem/elsewhere/traps'],
    of: 'count',
    limit: 0,
  },
  {
    what: 'a hook of 100,000 sites off and on, `alias`, a thread calling through them',
    at: [UPDATE.through, '100000/alias/hook'],
    of: 'median',
    limit: 0.5e6,
    why: 'a bare store to each, in lines that the other CPU has, took',
    bare: [UPDATE.through, 'stored100000'],
  },
  {
    what: 'one site in a quadword, `auto`, `alias`, to one bare membarrier',
    at: [UPDATE.beside, '1/alias/auto'],
    of: 'ratio',
    limit: 1.2,
  },
  {
    what: 'one site over the end of one, `auto`, `alias`, to three',
    at: [UPDATE.beside, '1+5/alias/auto'],
    of: 'ratio',
    limit: 1.12,
  },
  {
    what: '99th percentile to median: a hook, `procmem`',
    at: [UPDATE.beside, '1/procmem/hook'],
    of: 'tail',
    limit: 2,
    why: 'of a bare membarrier with two bare writes it is',
    bare: [UPDATE.beside, '1/procmem/hook/written'],
  },
  {
    what: 'the same, call to call, `procmem`, which plants traps',
    at: [UPDATE.beside, '1/procmem/auto'],
    of: 'tail',
    limit: 2,
    why: 'it contains the look at the threads, and of each that ran meanwhile the status is read',
  },
  {
    what: 'the same, call to call, `alias`, in a quadword',
    at: [UPDATE.beside, '1/alias/auto'],
    of: 'tail',
    limit: 2,
    why: 'of a bare membarrier with two bare writes it is',
    bare: [UPDATE.beside, '1/procmem/hook/written'],
  },
  {
    what: '10,000 keys in one update, `alias`',
    at: [BATCH, 'batch/keys'],
    of: 'median',
    limit: 12e6,
    why: 'what is done for a key is JavaScript; what is done for a site is not',
  },
  {
    what: '10,000 sites of one key and three of another, to the large key alone',
    at: [BATCH, 'batch/both'],
    of: 'ratio',
    limit: 1.2,
  },
  {
    what: 'a branch that is off, to an empty loop, beyond what two copies differ by',
    at: [BRANCH, 'branch-tight/static/off'],
    of: 'beyond noise',
    limit: 1.02,
  },
  {
    what: 'a branch that is on, to a direct jump, the same',
    at: [BRANCH, 'branch-tight/static/on'],
    of: 'beyond noise',
    limit: 1.05,
  },
  {
    what: 'one site from outside, to the same update from inside',
    at: [OUTSIDE, 'outside/1'],
    of: 'ratio',
    limit: 1.7,
    why: 'its bare steps, by a thread that ptrace borrows, took',
    bare: [OUTSIDE, 'borrowed'],
  },
  {
    what: 'the thread that is borrowed for it, held',
    at: [OUTSIDE, 'held/1'],
    of: 'median',
    limit: 150e3,
  },
  {
    what: '10,000 sites from outside, to the same update from inside',
    at: [OUTSIDE, 'outside/many'],
    of: 'ratio',
    limit: 3,
  },
  {
    what: 'a first attach by a warm tool, the longest that one thread is held',
    at: [OUTSIDE, 'first/held'],
    of: 'median',
    limit: 2e6,
  },
  {
    what: 'one site by a C program, to three bare membarriers',
    at: [OUTSIDE, 'c/three'],
    of: 'ratio',
    limit: 1.3,
    why: 'its bare membarriers and writes alone took',
    bare: [OUTSIDE, 'three/written'],
  },
  {
    what: 'the same, off to another target, to two',
    at: [OUTSIDE, 'c/two'],
    of: 'ratio',
    limit: 1.3,
    why: 'its bare membarriers and writes alone took',
    bare: [OUTSIDE, 'two/written'],
  },
  { what: '`--version` to `node -e 0`', at: [START, 'version'], of: 'ratio', limit: 1.3 },
];

/** @param result a whole run; a row that it lacks is an error, for the page would have a hole */
export function performancePage(result) {
  const table = (title) =>
    result.tables.find((t) => t.title === title) ?? fail(`the run has no table "${title}"`);
  const row = (title, id) =>
    table(title).rows.find((r) => r.id === id) ?? fail(`the run has no row ${id} in "${title}"`);
  // What the run said it could not measure is the likely cause.
  const lacked = result.tables.flatMap(({ missing = [] }) => missing);
  const fail = (message) => {
    throw new Error([message, ...lacked.map(({ what, why }) => `${what}: ${why}`)].join('\n'));
  };
  const t = (title, id) => show(row(title, id).median, row(title, id).unit);
  const x = (title, id, digits = 2) => row(title, id).ratio.value.toFixed(digits);
  const ns = (title, id) => row(title, id).median;
  const over = (title, id, floor) => show(Math.max(0, ns(title, id) - ns(title, floor)), 'ns');
  const aSite = (title, id) => row(title, id).more['ns a site beyond the bare ones'];
  // Runs made before an update had a choice of ways have one row for each writer.
  const traps = (sites) =>
    t(TRAP, table(TRAP).rows.find((r) => RegExp(`^${sites}/alias/(int3/)?traps$`).test(r.id))?.id);
  const percent = (part) => `${(100 * part).toFixed(1)} %`;
  const valueOf = ({ at: [title, id, other], of }) => {
    const { median, p99, ratio } = row(title, id);
    switch (of) {
      case 'median':
      case 'count':
        return median;
      case 'a site':
        return aSite(title, id) / aSite(title, other);
      case 'beyond':
        return median * (1 - 1.15 / ratio.value);
      case 'tail':
        return p99 / median;
      case 'beyond noise':
        return ratio.value - table(title).noise;
      default:
        return ratio.value;
    }
  };
  const isMeasured = ({ at: [title, id] }) =>
    result.tables.find((t) => t.title === title)?.rows.some((r) => r.id === id) ?? false;
  const reasonOf = ({ of, why = '', bare }) => {
    if (bare === undefined) return why;
    if (!isMeasured({ at: bare })) return '';
    return `${why} ${of === 'tail' ? valueOf({ at: bare, of }).toFixed(2) : t(...bare)}`;
  };
  const goal = (each) => {
    const { what, of, limit, least = false } = each;
    const isTime = of === 'median' || of === 'beyond';
    const said = (n) => (isTime ? show(n, 'ns') : n.toFixed(n < 2 ? 3 : 2));
    const head = `| ${what} | ${least ? 'at least ' : ''}${isTime ? show(limit, 'ns') : limit}`;
    if (!isMeasured(each))
      return { measured: false, reached: false, line: `${head} | | not in this run |` };
    const value = valueOf(each);
    const why = reasonOf(each);
    const reached = least ? value >= limit : value <= limit;
    return {
      measured: true,
      reached,
      line: `${head} | ${said(value)} | ${reached ? 'reached' : `not reached${why ? `: ${why}` : ''}`} |`,
    };
  };
  const { machine, seconds } = result;
  const goals = GOALS.map(goal);
  // Which of the two lists it belongs to depends on the CPU's branch predictor.
  const pressed = row(MANY, 'many/pointer').ratio.value > 1.1 + table(MANY).noise;
  const many = `In 4,096 calls one after the other a pointer to a near\n  function costs ${x(MANY, 'many/pointer')} of a direct call, a patched static call ${x(MANY, 'many/inline', 3)}`;
  const retpoline = ns(CALL, 'tight/retpoline') - ns(CALL, 'tight/direct');

  return `# What static calls buy, and what they cost

Every figure on this page is of one run of \`static-call bench\`. The whole run is at the end of the
page, and as JSON in [performance.json](performance.json); \`node scripts/performance.mjs\` writes both.
Run the benchmark on your own machine before you believe any of it. The ratios of calls depend on
the CPU. The time of an update depends on what an interprocessor interrupt and a system call cost,
and both cost more in a virtual machine than on bare metal.

The machine: ${machine.cpu}, ${machine.cpus} CPUs${machine.hypervisor ? ' of a virtual machine' : ''}, Linux ${machine.kernel}, Node ${machine.node},
${machine.compiler}; ${machine.date.slice(0, 10)}; ${seconds} s; load ${machine.load.toFixed(2)} when the run began${machine.load < 0.5 ? '' : '. Other programs ran too, and the 99th\npercentiles say as much about them as about this one'}.

Ratios are medians over rounds. Each round measures everything once, in turn, so that a slow moment
is slow for every row. A row about a running thread counts a sample only if the thread's counter
moved just before it. Every table measures one thing twice and prints how far the two are apart:
read nothing into a smaller difference.

![What a call costs, by the way that it is made.](pictures/bench.svg)

## When they pay

- **A hook that is off.** An empty static call is a nop: ${x(CALL, 'tight/nop')} of a direct call in a loop of one,
  and no branch to mispredict. A flag that is tested, with the call it guards, costs ${x(CALL, 'tight/guard')} of a direct
  call where the branch predictor has room, and ${x(MANY, 'many/guard')} in 4,096 calls one after the other.
- **In place of an indirection.** A call through a PLT costs ${x(CALL, 'tight/plt')} of a direct one, through the GOT
  (\`-fno-plt\`) ${x(CALL, 'tight/noplt')}, through a pointer to another object ${x(CALL, 'tight/far')}, through a retpoline
  ${x(CALL, 'tight/retpoline')}. A patched static call costs ${x(CALL, 'tight/inline', 3)}.
- **In place of a pointer that is mispredicted.** A pointer that goes to either of two targets at random
  costs ${x(CALL, 'changing/mixed')}. A static call is a direct call, so there is nothing to predict.
${pressed ? `- **Where there are many calls.** ${many}: indirect calls need more of the branch predictor.\n` : ''}- **To change a running program** without a branch, a lock or a load on its hot path.

## When they do not

- **In place of a well-predicted pointer to a near function in a small loop.** That costs ${x(CALL, 'tight/pointer', 3)} of a
  direct call, and a static call is a direct call.
${pressed ? '' : `- **Where there are many calls, on this CPU.** ${many}. Its branch predictor has room for all of them.\n`}- **Unpatched.** A site that stays on its trampoline is a call and a jump: ${x(CALL, 'tight/trampoline')}. A program built with
  the header pays that until a runtime opens it.
- **Targets that change often.** An update interrupts every CPU that runs the program; a pointer
  changes by one store.
- **A target more than 2 GiB away** is reached through a veneer, an indirect jump, and costs what a far
  pointer costs.

## Retpolines

The measured thunk is byte for byte that of gcc's \`-mindirect-branch=thunk\`
(\`test/bench/retpoline.test.ts\`): a call, \`pause; lfence\` in a loop that only a misprediction runs, and
a return that the return stack buffer always mispredicts. That misprediction is the cost: ${show(retpoline, 'ns')}
more than a direct call on this CPU, whatever the loop. The ratio divides by one pass of the loop
with a direct call, ${t(CALL, 'tight/direct')}, so it says more about the CPU than about the thunk: a CPU that makes such
a pass in a quarter of the time shows nearly four times the ratio. AMD's own way, \`lfence\` before the
indirect call, which Linux no longer considers safe, costs ${x(CALL, 'tight/fence')}.

## What an update costs

The floor is the synchronisation. A protocol that must not leave a CPU with what it fetched earlier
needs membarrier(SYNC_CORE): once for \`store\`, three times for \`int3\`. Each one interrupts every CPU
that runs the program. One took ${t(UPDATE.beside, 'sync1')} while another CPU ran a thread, and ${t(UPDATE.idle, 'sync1')} when none did.

- One site, a thread running elsewhere in the program: \`store\` ${t(UPDATE.beside, '1/alias/store')}, \`int3\` ${t(UPDATE.beside, '1/alias/int3')} under the
  writer \`alias\` and ${t(UPDATE.beside, '1/procmem/int3')} under \`procmem\`. As ratios to the bare synchronisations of the same
  round: ${x(UPDATE.beside, '1/alias/store')}, ${x(UPDATE.beside, '1/alias/int3')}, ${x(UPDATE.beside, '1/procmem/int3')}.
- With no thread running: ${t(UPDATE.idle, '1/alias/store')}, ${t(UPDATE.idle, '1/alias/int3')} and ${t(UPDATE.idle, '1/procmem/int3')}, which is ${over(UPDATE.idle, '1/alias/store', 'sync1')}, ${over(UPDATE.idle, '1/alias/int3', 'sync3')} and
  ${over(UPDATE.idle, '1/procmem/int3', 'sync3')} beyond the bare synchronisations. That is JavaScript before and after one call into
  machine code, which performs all steps. \`int3\` also asks the kernel there whether our handler is
  still installed, and \`procmem\` has three writes. An empty system call takes ${t(TRAP, 'getpid')} here.
- A thread that does nothing but call through the site meets every trap: \`int3\` then takes ${t(UPDATE.through, '1/alias/int3')}.
- Sites are cheap. Ten thousand, 32 bytes apart, with such a thread: \`store\` ${t(UPDATE.through, '10000/alias/store')}, \`int3\`
  ${t(UPDATE.through, '10000/alias/int3')}; a hundred thousand ${t(UPDATE.through, '100000/alias/store')} and ${t(UPDATE.through, '100000/alias/int3')}. Beyond the bare synchronisations \`int3\`
  takes ${show(aSite(UPDATE.through, '10000/alias/int3'), 'ns')} a site at ten thousand and ${show(aSite(UPDATE.through, '1000000/alias/int3'), 'ns')} at a million.
- XRay of clang patched 10,000 functions in ${t(XRAY, 'xray')} in the same rounds. As ratios to it, ours for
  10,000 sites: \`store\` ${x(XRAY, '10000/alias/store')}, \`int3\` ${x(XRAY, '10000/alias/int3')}, \`int3\` under \`procmem\` ${x(XRAY, '10000/procmem/int3')}. The two do different
  things: XRay writes two sleds for each function, which the function was compiled for, and installs
  no trap handler; and its thread runs through all the functions. With no thread running XRay took
  ${t(UPDATE.idle, 'xray')}, \`store\` ${t(UPDATE.idle, '10000/alias/store')}, \`int3\` ${t(UPDATE.idle, '10000/alias/int3')}, and under \`procmem\` ${t(UPDATE.idle, '10000/procmem/int3')}.
- \`procmem\`, the default writer, makes three system calls for each site. A write that joins
  neighbouring sites would also write the bytes between two sites, as they were read a moment
  before, and would put a breakpoint back that a debugger takes away meanwhile. No other call writes
  many places of text at once. It is the default because debuggers and profilers keep working with
  it; choose \`alias\` for programs with many sites that change often.
- Only an update that plants traps looks at the threads' signal masks, at most ten times a second. Of
  a thread that has not been on a CPU since the last look it asks no more than the clock of its CPU
  time; of any other it reads the status. The 99th percentile contains that look, and an update that
  comes alone pays for it. A round of the benchmark takes longer than the tenth of a second, so the
  first of each program's updates that plants traps pays for it. Of a program of more than a
  thousand sites only two updates are measured in a row; there an update of one site comes before
  them, which is not counted.
- Of one site each update is measured 32 times in a row, because programs that retarget a site have
  it in their caches. The first of them comes after updates of other programs: a hook then takes
  ${t(UPDATE.beside, '1/procmem/hook/first')}
  under \`procmem\`, and ${t(UPDATE.beside, '1/procmem/hook')} at the median of all.
- The very first update of a process took ${t(UPDATE.idle, 'first')}, because the engine had compiled none of it. What is
  done for each site is machine code from the start.

## The pause

A thread that runs through a site while \`store\` retargets it is stopped by one interrupt: ${t(PAUSE, '1/alias/store')}
between two passes, at the median. Under \`int3\` it is ${t(PAUSE, '1/alias/int3')}, because an interrupt and a trap can come
together. No thread waits for another one, and none waits for the update to end.

## The trap

The signal handler emulates a call that meets the trap in ${t(TRAP, 'emulated')}, ${x(TRAP, 'emulated', 0)} times an empty system call. A
thread that does nothing but call met the trap ${traps(1)} times during an update of one site, and ${traps(10000)} times
during one of ten thousand sites.

## Against the goals

${goals.filter((g) => g.reached).length} of ${goals.filter((g) => g.measured).length} were reached in this run. Two copies of the direct call's loop differed by ${percent(table(CALL).noise)}, two
of the bare synchronisations with a thread running by ${percent(table(UPDATE.beside).noise)}.

| | goal | this run | |
|---|---|---|---|
${goals.map((g) => g.line).join('\n')}

The ratios of one site depend on what an interrupt costs. Beyond the synchronisations an update takes
a few microseconds, so the dearer the interrupts, the smaller the ratios. The absolute figures are
above.

## How not to be fooled

- A thread that is not on a CPU needs no interrupt, and an update then looks many times cheaper than
  it is. Hence the counters.
- Where a loop lies matters more than what it calls. Every loop here lies at the same place of its
  page, and a second copy of one says how much remains: "two copies of the same thing differ by".
- "No thread running" is a statement about the whole process. Node has helper threads, and one that
  happens to run makes a synchronisation cost an interrupt. The number of interrupts has a column.
- Bare membarriers in a row do not cost a single one times their number: three took ${t(UPDATE.beside, 'sync3')}, one
  ${t(UPDATE.beside, 'sync1')}. The floor of \`int3\` is three in a row with nothing between them.
- A system call can cost far more than itself: a kernel that throws away the TLB at every entry makes
  what runs next slow. A loop of bare system calls in C does not see that, and a program does.
- Two threads on a machine of two CPUs take turns on one of them, because the patcher has the other.
  Their rows are about scheduling.

\`static-call bench --json > before.json\` keeps a run. \`static-call bench --gate before.json\` compares a
later run with it by ratios, and ends with status 1 where one grew beyond the noise of both.

## The record

\`\`\`
${text(result, (_style, words) => words)}
\`\`\`
`;
}

/** The run as it is kept: a row is a line, so that a difference can be read. */
export function kept({ tables, ...run }) {
  const table = ({ rows, ...rest }) =>
    `${JSON.stringify(rest).slice(0, -1)},"rows":[\n${rows.map((row) => JSON.stringify(row)).join(',\n')}\n]}`;
  return `${JSON.stringify({ schema: SCHEMA, ...run }).slice(0, -1)},"tables":[\n${tables.map(table).join(',\n')}\n]}\n`;
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const given = process.argv[2];
  const run = () =>
    runBench({
      only: GROUPS,
      seconds: SECONDS.whole,
      quick: false,
      env: process.env,
      signal: new AbortController().signal,
      onProgress: (what) => console.error(`measuring: ${what}`),
    });
  const result = given === undefined ? await run() : readStored(given);
  const at = (name) => new URL(`../docs/${name}`, import.meta.url);
  const { gate: _gate, ...plain } = result;
  const page = performancePage(plain);
  writeFileSync(at('performance.json'), kept(plain));
  writeFileSync(at('performance.md'), page);
  await writePictures();
}
