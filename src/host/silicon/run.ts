// One program of plan/litmus.ts on the real CPU, in a process of its own: two threads of machine
// code from our assembler, pinned to two CPUs. Prints what was counted. What crashes the process
// leaves a line that says where.
//
// Nothing here knows what a model allows.

import { PAGE, type Addr } from '../../base/addr.js';
import { unreachable } from '../../base/invariant.js';
import { SA, SIGTRAP, SYS, UCONTEXT } from '../../base/linux.js';
import { INT3 } from '../../asm/table.js';
import { assemble, label, mem, place, word, type Program } from '../../asm/assembler.js';
import { mapAnonymous, memoryFile } from '../../machine/linux/memory.js';
import { registerBarrier } from '../../machine/linux/membarrier.js';
import { MAP, openNative, PROT, type Native } from '../../machine/linux/native.js';
import type {
  DataProgram,
  LandingProgram,
  LitmusProgram,
  OrderProgram,
} from '../../plan/litmus.js';
import { ORDERS } from '../../plan/litmus.js';
import { distanceOf, PING, PONG } from './distance.js';
import { land, mixturesOf, tooMany } from './landing.js';
import {
  BLOCK,
  COUNTS,
  contentsOf,
  little,
  PADS,
  PADS_AT,
  TEXT,
  TEXT_SIZE,
  THROUGH,
} from './layout.js';
import { orderReader, orderRound } from './order.js';
import { dataReader, landingReader, leave, save } from './reader.js';
import {
  CRASH_BYTES,
  CRASHED,
  type SiliconAnswer,
  type SiliconCounts,
  type SiliconTask,
} from './task.js';
import { effectsOf, performed, type Effect } from './writer.js';

type Affinity = (id: number, size: number, cpus: BigUint64Array) => number;
type CreateThread = (thread: BigUint64Array, how: null, start: Addr, argument: Addr) => number;
type JoinThread = (thread: bigint, result: null) => number;

/** Two CPUs, and the page that the threads on them share. */
class Pair {
  readonly native: Native;
  readonly block: Addr;
  readonly words: BigUint64Array;
  readonly #create: CreateThread;
  readonly #join: JoinThread;

  constructor(native: Native) {
    this.native = native;
    this.block = mapAnonymous(native, PAGE, PROT.read | PROT.write);
    this.words = new BigUint64Array(native.view(this.block, PAGE));
    this.words[BLOCK.cpu / 8] = 2n;
    const libc = native.library('libc.so.6');
    this.#create = libc<CreateThread>('int pthread_create(void *, void *, int64, int64)');
    this.#join = libc<JoinThread>('int pthread_join(uint64, void *)');
  }

  word(at: keyof typeof BLOCK): number {
    return Number(this.words[BLOCK[at] / 8]);
  }

  /** Runs `body` while the second thread runs from `start`; null where there is none. */
  with<T>(start: Addr, body: () => T): T | null {
    const thread = new BigUint64Array(1);
    this.words[BLOCK.stop / 8] = 0n;
    if (this.#create(thread, null, start, this.block) !== 0) return null;
    const result = body();
    this.words[BLOCK.stop / 8] = 1n;
    this.#join(thread[0] ?? 0n, null);
    return result;
  }

  executable(code: Uint8Array): Addr {
    const size = Math.ceil(code.length / PAGE) * PAGE;
    const at = mapAnonymous(this.native, size, PROT.read | PROT.write);
    new Uint8Array(this.native.view(at, size)).set(code);
    this.native.call('mprotect', at, size, PROT.read | PROT.exec);
    return at;
  }
}

/**
 * The trap at the site is taken back: the thread tries the instruction again. Where the program
 * waits for the trap, the thread goes on behind it instead. Anything else that is raised is told.
 */
const handlerOf = (passes: boolean): Program => [
  ['cmp', 'edi', SIGTRAP],
  ['jne', 'crash'],
  ['movabs', 'rax', word('trapped')],
  ['cmp', mem('rdx', UCONTEXT.rip), 'rax'],
  ['jne', 'crash'],
  ['movabs', 'rax', word('traps')],
  ['lock', 'inc', mem('rax')],
  ...((passes
    ? [
        ['add', mem('rdx', UCONTEXT.rip), 4],
        ['mov', mem('rdx', UCONTEXT.r15), 1],
      ]
    : [['dec', mem('rdx', UCONTEXT.rip)]]) satisfies Program),
  ['ret'],
  label('crash'),
  ['movabs', 'rax', word('trapped')],
  ['push', mem('rax', -1)],
  ['push', 'rax'],
  ['push', 'rdi'],
  ['push', mem('rdx', UCONTEXT.rip)],
  ['mov', 'eax', SYS.write],
  ['mov', 'edi', 1],
  ['mov', 'rsi', 'rsp'],
  ['mov', 'edx', CRASH_BYTES],
  ['syscall'],
  ['mov', 'eax', EXIT_GROUP],
  ['mov', 'edi', CRASHED],
  ['syscall'],
];
const EXIT_GROUP = 231;
/** SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV. */
const RAISED = [4, SIGTRAP, 7, 8, 11];

/** The program's text: the reader with its site, and for `order` the pads behind it. */
interface Laid {
  readonly text: Uint8Array;
  readonly site: number;
  readonly y: number;
}

function readerOf(program: LitmusProgram): Program {
  switch (program.watch) {
    case 'landing':
      return landingReader(program);
    case 'data':
      return dataReader(program);
    case 'order':
      return orderReader(program);
    default:
      return unreachable(program);
  }
}

function layOut(program: LitmusProgram): Laid {
  const order = program.watch === 'order';
  const code = assemble(readerOf(program), { at: TEXT });
  const site = code.labels.get('site') ?? 0;
  const y = code.labels.get('y') ?? site;
  const text = new Uint8Array(TEXT_SIZE + (order ? 16 * PADS : 0)).fill(INT3);
  text.set(code.bytes);
  if (order) {
    for (const at of [site, y]) text.set(little(PADS_AT - (at + 5)), at + 1);
    for (let n = 0; n < PADS; n++) text.set([0xb8, ...little(n), 0xc3], PADS_AT + 16 * n);
  }
  return { text, site, y };
}

/**
 * Maps the text at its address, executable, and a second time, writable; null where it is taken.
 */
function mapTwice(native: Native, text: Uint8Array, protection: number): Addr | null {
  const size = text.length;
  const file = memoryFile(native, 'static-call-litmus', size);
  const alias = native.call('mmap', 0, size, PROT.read | PROT.write, MAP.shared, file, 0);
  const flags = MAP.shared | MAP.fixedNoReplace;
  const at = native.call('mmap', TEXT, size, protection, flags, file, 0);
  native.call('close', file);
  if (alias < 0 || at !== TEXT) return null;
  new Uint8Array(native.view(alias, size)).set(text);
  return alias;
}

/** rdi: how many rounds. */
const rounds = (round: Program): Program => [
  ...save,
  ['mov', 'r14', 'rdi'],
  ['movabs', 'rbx', word('site')],
  ['movabs', 'rbp', word('y')],
  ['movabs', 'r12', word('block')],
  ['mov', 'r13', mem('r12', BLOCK.said)],
  label('round'),
  ...round,
  ['dec', 'r14'],
  ['jne', 'round'],
  ...leave,
];

/** What the threads do, and how their counters are read. */
interface Plan {
  readonly round: Program;
  /** Updates in a round, and rounds between two looks at the clock. */
  readonly updates: number;
  readonly atOnce: number;
  readonly names: readonly string[];
}

function planLanding(
  native: Native,
  program: LandingProgram | DataProgram,
  { site, text }: Laid,
  alias: Addr,
): Plan | string {
  const effects = effectsIn(program);
  const plan = {
    round: performed(effects, program.offset),
    updates: contentsOf(program).length,
    atOnce: effects.includes('sync') ? 200 : 20_000,
  };
  if (program.watch === 'data') return { ...plan, names: ['old', 'new', 'neither'] };
  const mixtures = mixturesOf(program, effects);
  if (tooMany(mixtures)) return `a torn call has ${mixtures.length} places where it can go`;
  const own = new Uint8Array(native.view(alias, text.length));
  if (!land(native, TEXT + site, mixtures, own))
    return 'an address where a mixture would land is taken';
  return { ...plan, names: mixtures.map(({ name }) => name) };
}

/** Of all updates, once round. */
function effectsIn(program: LandingProgram | DataProgram): Effect[] {
  const contents = contentsOf(program);
  const states = program.watch === 'landing' ? (program.text?.states ?? []) : [];
  return contents.flatMap((old, i) => {
    const next = (i + 1) % contents.length;
    const fresh = contents[next] ?? [];
    const name = states[next]?.name ?? '';
    const steps = program.steps.filter(({ into }) => into === undefined || into.includes(name));
    return effectsOf(steps, { old, fresh });
  });
}

function planOrder(program: OrderProgram): Plan {
  const { writes, own } = program;
  const waits = writes.includes('sync') || writes.includes('trap');
  return {
    round: own === undefined ? orderRound(program) : [['pause']],
    updates: own === undefined ? 1 : 0,
    atOnce: waits ? 200 : 20_000,
    // By the flags of order.ts: both at once is backwards too.
    names: [...ORDERS, ORDERS[2]],
  };
}

/** Writes for so long while the reader runs. @returns updates */
function writeFor(native: Native, write: Addr, { atOnce, updates }: Plan, until: number): number {
  const begun = performance.now();
  let done = 0;
  while (performance.now() - begun < until) {
    native.invoke(write, atOnce);
    done += atOnce * updates;
  }
  return done;
}

function count(pair: Pair, program: LitmusProgram, milliseconds: number): SiliconCounts | string {
  const { native, block, words } = pair;
  registerBarrier(native);
  const laid = layOut(program);
  const own = program.watch === 'order' && program.own === 'same-address';
  const protection = PROT.read | PROT.exec | (own ? PROT.write : 0);
  const alias = mapTwice(native, laid.text, protection);
  if (alias === null) return 'the address of the program is taken, or may not be mapped so';
  const plan =
    program.watch === 'order' ? planOrder(program) : planLanding(native, program, laid, alias);
  if (typeof plan === 'string') return plan;

  const { site, y } = laid;
  words[BLOCK.alias / 8] = BigInt(alias + site);
  words[BLOCK.siteAt / 8] = BigInt(site);
  words[BLOCK.yAt / 8] = BigInt(y);
  const places = { site: alias + site, y: alias + y, block };
  const write = pair.executable(place(assemble(rounds(plan.round)), places));
  const passes = program.watch === 'order' && program.writes.includes('trap');
  const handler = pair.executable(
    place(assemble(handlerOf(passes)), {
      trapped: TEXT + site + 1,
      traps: block + BLOCK.traps,
    }),
  );
  for (const signal of RAISED)
    native.sigaction(signal, { handler, flags: SA.siginfo | SA.noDefer | SA.onStack });

  const seen = (): number[] => Array.from(words.subarray(0, COUNTS), Number);
  const calls = (): number => seen().reduce((a, b) => a + b, 0);
  const wait = new Int32Array(new SharedArrayBuffer(4));
  const ran = pair.with(TEXT, () => {
    if (program.watch !== 'order')
      for (let i = 0; i < 2000 && calls() === 0; i++) Atomics.wait(wait, 0, 0, 1);
    const before = calls();
    const updates = writeFor(native, write, plan, milliseconds);
    return { updates, calls: calls() - before };
  });
  if (ran === null) return 'no second thread';
  return {
    ...ran,
    updates: plan.updates === 0 ? calls() : ran.updates,
    traps: pair.word('traps'),
    counts: named(seen(), plan.names),
  };
}

/** By name, where anything was counted. */
function named(counts: readonly number[], names: readonly string[]): Record<string, number> {
  const by: Record<string, number> = {};
  for (const [i, n] of counts.entries()) {
    const name = i === THROUGH ? 'through' : names[i];
    if (n > 0 && name !== undefined) by[name] = (by[name] ?? 0) + n;
  }
  return by;
}

function answer({ program, milliseconds }: SiliconTask): SiliconAnswer {
  const native = openNative();
  const affinity = native.library('libc.so.6')<Affinity>(
    'int sched_setaffinity(int, size_t, void *)',
  );
  if (affinity(0, 8, new BigUint64Array([1n])) !== 0)
    return { skipped: 'a thread cannot be pinned to the first CPU' };
  const pair = new Pair(native);
  const ping = pair.executable(place(assemble(PING), { block: pair.block }));
  const pong = pair.executable(assemble(PONG).bytes);
  const distance = (): number =>
    pair.with(pong, () => distanceOf((times) => void native.invoke(ping, times))) ?? 0;
  const before = distance();
  if (program === null) return { distance: [before] };
  const counts = count(pair, program, milliseconds);
  if (typeof counts === 'string') return { skipped: counts };
  return { distance: [before, distance()], counts };
}

const task: SiliconTask = JSON.parse(process.argv[2] ?? '');
process.stdout.write(`${JSON.stringify(answer(task))}\n`);
