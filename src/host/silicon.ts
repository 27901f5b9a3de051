// One program of plan/litmus.ts on the real CPU, in a process of its own: two threads of machine
// code from our assembler, pinned to two CPUs. The writer changes an instruction through a second
// mapping of its page; the reader executes it. The two displacements differ in all four bytes, and
// at each of their sixteen mixtures lies code that says which one it is, so a torn call is counted
// and crashes nothing. Prints what was counted.
//
// Nothing here knows what a model allows.

import { SITE_FORMS } from '../x86/forms.js';
import { INT3 } from '../asm/table.js';
import { LINE, PAGE, type Addr } from '../base/addr.js';
import { invariant } from '../base/invariant.js';
import { mapAnonymous, memoryFile } from '../machine/linux/memory.js';
import { registerBarrier } from '../machine/linux/membarrier.js';
import { MAP, openNative, PROT, type Native } from '../machine/linux/native.js';
import type { LitmusProgram } from '../plan/litmus.js';
import type { Step } from '../plan/protocol.js';
import {
  align,
  assemble,
  bytes,
  label,
  mem,
  mem32,
  mem8,
  place,
  word,
  type Program,
} from '../asm/assembler.js';
import { MEMBARRIER, SYS, UCONTEXT } from '../base/linux.js';

/** What the parent reads: counts by what the reader's calls reached. */
export interface SiliconCounts {
  readonly updates: number;
  readonly calls: number;
  readonly traps: number;
  /**
   * By landing: which bytes of the displacement were the new ones; 16 where the nop fell through.
   * For `order`: in order, late, backwards.
   */
  readonly counts: readonly number[];
  /** Why it could not be asked. */
  readonly skipped?: string;
}

/** Far from everything: the address space two gigabytes up and down is empty. */
const TEXT: Addr = 0x6000_8000_0000;
/** The program's own pages. */
const TEXT_SIZE = 2 * PAGE;
/** `order`: behind it pads of 16 bytes, one for each number modulo this. */
const PADS = 4096;
const PADS_AT = TEXT_SIZE;
/** The page that both threads share, a line for each writer of it. */
const BLOCK = { counts: 0, stop: 256, cpu: 320, said: 384, traps: 448 } as const;
/**
 * A sample in which the writer went further than this between two looks at its word says nothing
 * about order.
 */
const WINDOW = 1024;

const OLD = 0x12345678;
const NEW = 0xed5a3bc1;
const CALL = 0xe8;
const NOP = [0x0f, 0x1f, 0x44, 0x00, 0x00] as const;
const little = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);

const syscall = (number: number, edi: number, esi: number): Program => [
  ['mov', 'eax', number],
  ['mov', 'edi', edi],
  ['mov', 'esi', esi],
  ['xor', 'edx', 'edx'],
  ['syscall'],
];
const saved = ['rbx', 'rbp', 'r12', 'r13', 'r14', 'r15'] as const;
const save: Program = saved.map((r) => ['push', r] as const);
const leave: Program = [...saved.toReversed().map((r) => ['pop', r] as const), ['ret']];

/** rbx: the block. Runs on the CPU whose mask lies there until it is told to stop. */
function reader(program: LitmusProgram, old: readonly number[]): Program {
  const pin: Program = [
    ...save,
    ['mov', 'rbx', 'rdi'],
    ['mov', 'eax', SYS.sched_setaffinity],
    ['xor', 'edi', 'edi'],
    ['mov', 'esi', 8],
    ['lea', 'rdx', mem('rbx', BLOCK.cpu)],
    ['syscall'],
  ];
  const before: Program =
    program.watch === 'landing' ? [['mov', 'eax', 16]] : [['mov', 'r12', mem('rbx', BLOCK.said)]];
  const length = assemble(before).bytes.length;
  const landing: Program = [['inc', mem({ base: 'rbx', index: 'rax', scale: 8 })]];
  // r12 and r15: how far the writer was before this call and before the last one; r14: where that
  // went.
  const order: Program = [
    ['mov', 'rcx', mem('rbx', BLOCK.said)],
    ['sub', 'rcx', 'r15'],
    ['cmp', 'rcx', WINDOW],
    ['ja', 'taken'],
    ['xor', 'ebp', 'ebp'],
    ['mov', 'ecx', 'eax'],
    ['sub', 'ecx', 'r12d'],
    ['and', 'ecx', PADS - 1],
    ['cmp', 'ecx', PADS / 2],
    ['jb', 'timely'],
    ['inc', mem('rbx', 8)],
    ['inc', 'ebp'],
    label('timely'),
    ['mov', 'ecx', 'eax'],
    ['sub', 'ecx', 'r14d'],
    ['and', 'ecx', PADS - 1],
    ['cmp', 'ecx', PADS / 2],
    ['jb', 'onwards'],
    ['inc', mem('rbx', 16)],
    ['inc', 'ebp'],
    label('onwards'),
    ['test', 'ebp', 'ebp'],
    ['jne', 'taken'],
    ['inc', mem('rbx', 0)],
    label('taken'),
    ['mov', 'r14d', 'eax'],
    ['mov', 'r15', 'r12'],
  ];
  return [
    ...pin,
    ['mov', 'r15', -WINDOW - 1], // the first sample has none before it
    ['jmp', 'loop'],
    align(2 * LINE, 0x90),
    bytes(...Array<number>(LINE + program.offset - length).fill(0x90)),
    label('loop'),
    ...before,
    label('site'),
    bytes(...old),
    ...(program.watch === 'landing' ? landing : order),
    ['cmp', mem32('rbx', BLOCK.stop), 0],
    ['je', 'loop'],
    ...leave,
  ];
}

/** One update at rbx, where the site is written, by the store instructions that the steps name. */
function update(steps: readonly Step[], old: readonly number[], fresh: readonly number[]): Program {
  return steps.flatMap((step): Program => {
    if (step.do === 'sync') return syscall(SYS.membarrier, MEMBARRIER.syncCore, 0);
    invariant(step.do === 'store', 'a litmus program stores and synchronises');
    const source = { trap: [INT3, ...old.slice(1)], old, new: fresh }[step.bytes];
    const byte = (at: number): Program => [['mov', mem8('rbx', at), source[at] ?? 0]];
    if (step.part === 'first' || step.part === 'opcode') return byte(0);
    if (step.as === 'bytes')
      return Array.from({ length: 5 }, (_, at) => at)
        .slice(step.part === 'rest' ? 1 : 0)
        .flatMap(byte);
    // One instruction: of the displacement where only that changes, else of eight bytes, of which
    // three stay.
    if (old[0] === fresh[0])
      return [
        ['mov', mem32('rbx', 1), new DataView(Uint8Array.from(source).buffer).getInt32(1, true)],
      ];
    return [
      ['movabs', 'rax', new DataView(Uint8Array.from(source).buffer).getBigUint64(0, true)],
      ['mov', mem('rbx'), 'rax'],
    ];
  });
}

/** rdi: how many rounds, of two updates each; for `order` of one. */
function writer(
  program: LitmusProgram,
  old: readonly number[],
  fresh: readonly number[],
  base: number,
): Program {
  const syncs = program.steps.some((step) => step.do === 'sync');
  const round: Program =
    program.watch === 'landing'
      ? [...update(program.steps, old, fresh), ...update(program.steps, fresh, old)]
      : [
          ['inc', 'r13'],
          ['mov', 'eax', 'r13d'],
          ['and', 'eax', PADS - 1],
          ['shl', 'eax', 4],
          ['add', 'eax', base],
          ['mov', mem32('rbx', 1), 'eax'],
          ...(syncs ? syscall(SYS.membarrier, MEMBARRIER.syncCore, 0) : []),
          ['mov', mem('r12', BLOCK.said), 'r13'],
        ];
  return [
    ...save,
    ['mov', 'r14', 'rdi'],
    ['movabs', 'rbx', word('site')],
    ['movabs', 'r12', word('block')],
    ['mov', 'r13', mem('r12', BLOCK.said)],
    label('round'),
    ...round,
    ['dec', 'r14'],
    ['jne', 'round'],
    ...leave,
  ];
}

/** The trap is taken back: the thread tries the instruction again. */
const HANDLER: Program = [
  ['dec', mem('rdx', UCONTEXT.rip)],
  ['movabs', 'rax', word('traps')],
  ['lock', 'inc', mem('rax')],
  ['ret'],
];

function executable(native: Native, code: Uint8Array): Addr {
  const size = Math.ceil(code.length / PAGE) * PAGE;
  const at = mapAnonymous(native, size, PROT.read | PROT.write);
  new Uint8Array(native.view(at, size)).set(code);
  native.call('mprotect', at, size, PROT.read | PROT.exec);
  return at;
}

/**
 * Code at each mixture of the two displacements that returns which one it is; false where something
 * lies there.
 */
function landings(
  native: Native,
  end: Addr,
  old: readonly number[],
  fresh: readonly number[],
): boolean {
  const code = new Map<Addr, number[]>();
  for (let mask = 0; mask < 16; mask++) {
    const displacement = new DataView(
      Uint8Array.from([0, 1, 2, 3], (i) => ((mask & (1 << i)) === 0 ? old : fresh)[i + 1] ?? 0)
        .buffer,
    ).getInt32(0, true);
    [0xb8, ...little(mask), 0xc3].forEach((byte, i) => {
      const at = end + displacement + i;
      const page = Math.floor(at / PAGE) * PAGE;
      const content = code.get(page) ?? Array<number>(PAGE).fill(INT3);
      content[at - page] = byte;
      code.set(page, content);
    });
  }
  for (const [page, content] of code) {
    const at = native.call(
      'mmap',
      page,
      PAGE,
      PROT.read | PROT.write,
      MAP.private | MAP.anonymous | MAP.fixedNoReplace,
      -1,
      0,
    );
    if (at !== page) return false;
    new Uint8Array(native.view(page, PAGE)).set(content);
    native.call('mprotect', page, PAGE, PROT.read | PROT.exec);
  }
  return true;
}

/** The bytes of the site before and after an update, and the code that runs it. */
interface Laid {
  readonly old: readonly number[];
  readonly fresh: readonly number[];
  readonly text: Uint8Array;
  readonly site: number;
  readonly base: number;
}

/** The program's text: the reader with its site, and for `order` the pads behind it. */
function layOut(program: LitmusProgram): Laid {
  const old = {
    call: [CALL, ...little(OLD)],
    nop: [...NOP],
    off: [...SITE_FORMS.test5.bytes.subarray(0, 1), ...little(NEW)],
  }[program.from];
  const code = assemble(reader(program, old), { at: TEXT });
  const site = code.labels.get('site') ?? 0;
  const base = PADS_AT - (site + 5);
  const text = new Uint8Array(TEXT_SIZE + (program.watch === 'order' ? 16 * PADS : 0)).fill(INT3);
  text.set(code.bytes);
  if (program.watch === 'order') {
    text.set(little(base), site + 1);
    for (let n = 0; n < PADS; n++) text.set([0xb8, ...little(n), 0xc3], PADS_AT + 16 * n);
  }
  // A store of eight bytes rewrites three of the neighbour's with what they are.
  const eight = [...text.subarray(site + 5, site + 8)];
  return { old: [...old, ...eight], fresh: [CALL, ...little(NEW), ...eight], text, site, base };
}

/**
 * Maps the text at its address, executable, and a second time, writable; null where it is taken.
 */
function mapTwice(native: Native, text: Uint8Array): Addr | null {
  const size = text.length;
  const file = memoryFile(native, 'static-call-litmus', size);
  const alias = native.call('mmap', 0, size, PROT.read | PROT.write, MAP.shared, file, 0);
  const flags = MAP.shared | MAP.fixedNoReplace;
  const at = native.call('mmap', TEXT, size, PROT.read | PROT.exec, flags, file, 0);
  native.call('close', file);
  if (alias < 0 || at !== TEXT) return null;
  new Uint8Array(native.view(alias, size)).set(text);
  return alias;
}

/** Writes for so long while the reader runs, in rounds between two looks at the clock. */
function writeFor(
  native: Native,
  program: LitmusProgram,
  write: Addr,
  milliseconds: number,
): number {
  const rounds = program.steps.some((step) => step.do === 'sync') ? 200 : 20_000;
  const begun = performance.now();
  let updates = 0;
  while (performance.now() - begun < milliseconds) {
    native.invoke(write, rounds);
    updates += rounds * (program.watch === 'landing' ? 2 : 1);
  }
  return updates;
}

type Affinity = (id: number, size: number, cpus: BigUint64Array) => number;
type CreateThread = (thread: BigUint64Array, how: null, start: Addr, argument: Addr) => number;
type JoinThread = (thread: bigint, result: null) => number;

function count(program: LitmusProgram, milliseconds: number): SiliconCounts {
  const skip = (skipped: string): SiliconCounts => {
    return { updates: 0, calls: 0, traps: 0, counts: [], skipped };
  };
  const native = openNative();
  registerBarrier(native);
  const libc = native.library('libc.so.6');
  const affinity = libc<Affinity>('int sched_setaffinity(int, size_t, void *)');
  if (affinity(0, 8, new BigUint64Array([1n])) !== 0)
    return skip('a thread cannot be pinned to the first CPU');

  const { old, fresh, text, site, base } = layOut(program);
  const alias = mapTwice(native, text);
  if (alias === null) return skip('the address of the program is taken');
  if (program.watch === 'landing' && !landings(native, TEXT + site + 5, old, fresh))
    return skip('an address where a mixture would land is taken');

  const block = mapAnonymous(native, PAGE, PROT.read | PROT.write);
  const words = new BigUint64Array(native.view(block, PAGE));
  words[BLOCK.cpu / 8] = 2n;
  const writing = assemble(writer(program, old, fresh, base));
  const write = executable(native, place(writing, { site: alias + site, block }));
  const handler = executable(native, place(assemble(HANDLER), { traps: block + BLOCK.traps }));
  native.sigaction(5, { handler, flags: 0x4 | 0x4000_0000 | 0x0800_0000 });

  const thread = new BigUint64Array(1);
  if (
    libc<CreateThread>('int pthread_create(void *, void *, int64, int64)')(
      thread,
      null,
      TEXT,
      block,
    ) !== 0
  )
    return skip('no second thread');
  const seen = (): number[] => Array.from(words.subarray(0, 17), Number);
  const calls = (): number => seen().reduce((a, b) => a + b, 0);
  const wait = new Int32Array(new SharedArrayBuffer(4));
  if (program.watch === 'landing')
    for (let i = 0; i < 2000 && calls() === 0; i++) Atomics.wait(wait, 0, 0, 1);
  const before = calls();
  const updates = writeFor(native, program, write, milliseconds);
  const during = calls() - before;
  words[BLOCK.stop / 8] = 1n;
  libc<JoinThread>('int pthread_join(uint64, void *)')(thread[0] ?? 0n, null);
  return { updates, calls: during, traps: Number(words[BLOCK.traps / 8]), counts: seen() };
}

const { program, milliseconds }: { program: LitmusProgram; milliseconds: number } = JSON.parse(
  process.argv[2] ?? '',
);
process.stdout.write(`${JSON.stringify(count(program, milliseconds))}\n`);
