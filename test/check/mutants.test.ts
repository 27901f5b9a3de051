// For every property a mistake that breaks it, and beside it the nearest thing that does not: the
// checker is worth nothing where it cannot fail. A mutant changes one instruction of a handler, one
// step of a protocol, one rule of the machine or one word of the configuration. Together they reach
// every place in the simulator that finds a promise broken.

import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { BOUNDS_ANY, configure, type Configuration } from '#check/configuration';
import { PROPERTY_NAMES, type PropertyName } from '#check/properties';
import { outcomes } from '#check/litmus/outcomes';
import { run } from '#check/search/run';
import { findProposal, type Proposal } from '#zoo/index';
import { BREACHES, bad, type Breach } from '#machine/sim/promises';
import { RULES, type Rules } from '#machine/sim/rules';
import type { Protocol, Step } from '#plan/protocol';
import { cfa, gs, label, mem, mem8, quad, rip, type Item, type Program } from '#asm/assembler';
import { FLAG, SELECTOR } from '#machine/sim/cpu';
import { FRAME, PERCPU } from '#trap/kernel';
import { SYS, UCONTEXT } from '#base/linux';
import { LONG } from '../more.js';
import { inTurn, jmpSelf, once } from '../sim/livelocks.js';

interface Case {
  readonly proposal: Proposal;
  readonly given?: Partial<Configuration>;
  readonly rules?: Partial<Rules>;
}

const of = (name: string, variant = '', environment?: Proposal['environment']): Proposal =>
  findProposal(name, variant, environment);
/** The same text in a function that calls nothing and keeps data in its red zone. */
function inLeaf(proposal: Proposal): Proposal {
  const { text } = proposal.protocol;
  if (!text) throw new Error(`${proposal.name} has no text of its own`);
  return { ...proposal, protocol: { ...proposal.protocol, text: { ...text, leaf: true } } };
}
const written = (item: Item): string =>
  JSON.stringify(item, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value));
const same = (a: Item, b: Item): boolean => written(a) === written(b);

/** The proposal with its handler's program changed. */
function recoded(proposal: Proposal, change: (program: Program) => Program): Proposal {
  return {
    ...proposal,
    handler: (entry) => {
      const handler = proposal.handler!(entry);
      return { ...handler, program: change(handler.program) };
    },
  };
}
/** The first `from` in the program becomes `to`. */
function instead(proposal: Proposal, from: Item, to: Program): Proposal {
  return recoded(proposal, (program) => {
    const at = program.findIndex((item) => same(item, from));
    expect(at, 'the mutant has something to change').toBeGreaterThanOrEqual(0);
    return program.toSpliced(at, 1, ...to);
  });
}
function restepped(
  proposal: Proposal,
  change: (steps: readonly Step[]) => readonly Step[],
): Proposal {
  const protocol: Protocol = { ...proposal.protocol, steps: change(proposal.protocol.steps) };
  return { ...proposal, protocol };
}
const omitted = (proposal: Proposal, which: (step: Step) => boolean): Proposal =>
  restepped(proposal, (steps) => steps.filter((step) => !which(step)));
const exchanged = (a: number, b: number) => (steps: readonly Step[]) =>
  steps.map((step, i) => (i === a ? steps[b]! : i === b ? steps[a]! : step));

const merged = of('int3-gap');
/** At a site that is switched off and on by one byte. */
const hook = of('auto');
/** The opcode first, and the displacement where that was. */
function swapped(steps: readonly Step[]): readonly Step[] {
  const at = (part: string): number =>
    steps.findIndex((step) => step.do === 'store' && step.part === part);
  const [displacement, opcode] = [at('displacement'), at('opcode')];
  return steps.map((step, i) => {
    if (i === displacement) return steps[opcode]!;
    return i === opcode ? steps[displacement]! : step;
  });
}
const shipped = of('int3');
const atQword = of('store', '', 'user');
const spin: Program = [['dec', 'rax'], label('wait'), ['cmp', mem8('rax'), 0xcc], ['je', 'wait']];
const noCaller: Partial<Rules> = {
  serialising: new Set([...RULES.serialising].filter((name) => name !== 'caller')),
};
/**
 * A patcher that is a task on the only CPU: what is judged is its own pass, and what interrupts it.
 */
const alone = { patcher: 'task', cpus: 1 } as const;
const pops: Item = ['pop', 'r15'];

/** Where the handler sends the interrupted thread, and the register that it is sent by. */
const RESUME = {
  kernel: { item: ['mov', mem('rsp', FRAME.rip), 'rsi'], by: 'rsi' },
  user: { item: ['mov', mem('rdx', UCONTEXT.rip), 'r11'], by: 'r11' },
} as const satisfies Record<string, { item: Item; by: string }>;
const atResume = (proposal: Proposal, code: Program): Proposal =>
  recoded(proposal, (program) => {
    const { item } = RESUME[proposal.environment];
    // The last one is that of a call.
    const at = program.findLastIndex((each) => same(each, item));
    expect(at, 'the mutant has something to change').toBeGreaterThanOrEqual(0);
    return program.toSpliced(at, 0, ...code);
  });
/** A thread that traps at a call is sent to this code in place of the target. */
const sent = (proposal: Proposal, code: Program): Proposal =>
  recoded(
    atResume(proposal, [['lea', RESUME[proposal.environment].by, rip('away')]]),
    (program) => [
      ...program,
      cfa({ kind: 'call', base: 'rsp', offset: 8 }),
      label('away'),
      ...code,
    ],
  );
/** A frame that is its own caller: its RIP is the code that runs, its RSP the frame. */
const ownCaller: Program = [
  ['lea', 'rcx', mem('rsp', -32)],
  ['push', 'rcx'],
  ['push', 'rcx'],
  ['push', 'rcx'],
  ['lea', 'rcx', rip('here')],
  ['push', 'rcx'],
  cfa({ kind: 'frame', base: 'rsp', offset: 0 }),
  label('here'),
  ['nop'],
  ['ud2'],
];

/** The property that breaks, what is wrong, where it is wrong, and the nearest that is right. */
const MUTANTS: readonly [PropertyName, string, Case, Case][] = [
  [
    'torn',
    'synchronisation 2 is dropped, at a conditional jump',
    { proposal: shipped, given: { site: 'jcc', dropSync: 2 } },
    { proposal: shipped, given: { site: 'jcc' } },
  ],
  [
    'target',
    'the handler of a process knows eight of the sixteen conditions',
    {
      proposal: instead(shipped, ['and', 'ecx', 15], [['and', 'ecx', 7]]),
      given: { site: 'jcc', updates: 1 },
    },
    { proposal: shipped, given: { site: 'jcc', updates: 1 } },
  ],
  [
    'target',
    'the handler of a kernel takes every conditional jump',
    {
      proposal: instead(merged, ['jne', 'jump'], [['jmp', 'jump']]),
      given: { site: 'jcc', passes: 2 },
    },
    { proposal: merged, given: { site: 'jcc', passes: 2 } },
  ],
  [
    'stack',
    'the handler of a process takes every site for five bytes',
    {
      proposal: instead(shipped, ['and', 'r10d', 15], [['mov', 'r10d', 5]]),
      given: { site: 'call6', updates: 1 },
    },
    { proposal: shipped, given: { site: 'call6', updates: 1 } },
  ],
  [
    'torn',
    'synchronisation 1 is dropped',
    { proposal: merged, given: { dropSync: 1 } },
    { proposal: merged },
  ],
  [
    'torn',
    'synchronisation 2 is dropped',
    { proposal: merged, given: { dropSync: 2 } },
    { proposal: merged },
  ],
  [
    'torn',
    'synchronisation 2 is dropped, in a process',
    { proposal: shipped, given: { dropSync: 2 } },
    { proposal: shipped },
  ],
  [
    'torn',
    'an IPI is acknowledged before it serialises',
    { proposal: merged, rules: { serialiseFirst: false } },
    { proposal: merged },
  ],
  [
    'torn',
    'the rest is stored before the first synchronisation',
    { proposal: restepped(shipped, exchanged(2, 3)) },
    { proposal: shipped },
  ],
  [
    'torn',
    'the first byte comes back before the second synchronisation',
    { proposal: restepped(shipped, exchanged(4, 5)) },
    { proposal: shipped },
  ],
  [
    'torn',
    'no trap byte is planted',
    { proposal: omitted(shipped, (step) => step.do === 'store' && step.bytes === 'trap') },
    { proposal: shipped },
  ],
  [
    'torn',
    'a store is split where the changed bytes leave a quadword',
    { proposal: of('store', 'in-line', 'user'), given: { store: 'qword', chunk: 'line' } },
    { proposal: of('store', 'in-line', 'user'), given: { store: 'line', chunk: 'line' } },
  ],
  [
    'torn',
    'CPUs are stopped, but an NMI runs there',
    { proposal: of('stop-machine'), given: { contexts: ['task', 'nmi'] } },
    { proposal: of('stop-machine'), given: { contexts: ['task', 'irq'] } },
  ],
  [
    'torn',
    'the stopping CPU itself is interrupted by an NMI',
    { proposal: of('stop-machine'), given: { contexts: ['task', 'nmi'], ...alone } },
    { proposal: of('stop-machine'), given: { contexts: ['task', 'irq'], ...alone } },
  ],
  [
    'torn',
    'two updaters have no lock between them',
    { proposal: of('int3-gap', 'no-lock'), given: { updates: 2 } },
    { proposal: of('int3-gap', 'two-updaters'), given: { updates: 2 } },
  ],
  [
    'torn',
    'a late handler puts the old byte back into the next attempt',
    { proposal: of('int3-abort', 'synced'), given: { fetch: 'F0' } },
    { proposal: of('int3-abort', 'waiting'), given: { fetch: 'F0' } },
  ],
  [
    'torn',
    'stopped CPUs are released without serialising',
    { proposal: of('stop-machine', 'plain') },
    { proposal: of('stop-machine') },
  ],

  [
    'torn',
    'a nop and a call mix into no instruction',
    { proposal: of('naive', '', 'user'), given: { site: 'null' } },
    { proposal: shipped, given: { site: 'null' } },
  ],
  [
    'torn',
    'the handler goes back into the middle of the site',
    { proposal: atResume(merged, [['lea', 'rsi', mem('rdi', -1)]]) },
    { proposal: merged },
  ],
  [
    'torn',
    'changed bytes are executed before the CPU serialises, by the letter of the manual',
    { proposal: atQword, given: { chunk: 'qword', fetch: 'F4' } },
    { proposal: shipped, given: { fetch: 'F4' } },
  ],

  [
    'target',
    'the handler calls the target itself',
    { proposal: atResume(shipped, [['call', 'r11']]) },
    { proposal: shipped },
  ],
  [
    'target',
    'the handler goes on at no instruction',
    { proposal: sent(merged, [['ud2']]) },
    { proposal: merged },
  ],
  [
    'target',
    'an interrupt is left in the middle of its call',
    {
      proposal: sent(merged, [['add', 'rsp', 32], ['iretq']]),
      given: { contexts: ['task', 'irq'] },
    },
    { proposal: merged, given: { contexts: ['task', 'irq'] } },
  ],
  [
    'target',
    'a task returns from an interrupt that there was not',
    {
      proposal: sent(merged, [
        ['push', SELECTOR.kernelData],
        ['push', 'rsp'],
        ['pushfq'],
        ['push', SELECTOR.kernelCode],
        ['push', 0],
        ['iretq'],
      ]),
    },
    { proposal: merged },
  ],
  [
    'target',
    'a signal handler is left in the middle of its call',
    {
      proposal: sent(shipped, [['add', 'rsp', 24], ['mov', 'eax', SYS.rt_sigreturn], ['syscall']]),
      given: { contexts: ['task', 'signal'] },
    },
    { proposal: shipped, given: { contexts: ['task', 'signal'] } },
  ],
  [
    'target',
    'a task returns from a signal that there was not',
    {
      proposal: sent(shipped, [
        ['sub', 'rsp', 1024],
        ['mov', 'eax', SYS.rt_sigreturn],
        ['syscall'],
      ]),
    },
    { proposal: shipped },
  ],
  [
    'target',
    'an emulated call goes past its caller, so that its pass never comes back to its end',
    { proposal: sent(merged, [['add', 'rsp', 8], ['ret']]) },
    { proposal: merged },
  ],
  [
    'target',
    'the handler skips the instruction',
    { proposal: of('int3-skip') },
    { proposal: merged },
  ],
  [
    'target',
    'the handler of a process goes on behind a call',
    {
      proposal: instead(
        shipped,
        ['mov', mem('rdx', UCONTEXT.rip), 'r11'],
        [['mov', mem('rdx', UCONTEXT.rip), 'r10']],
      ),
    },
    { proposal: shipped },
  ],
  [
    'target',
    'return 0 is emulated by nothing',
    {
      proposal: instead(merged, ['je', 'ret0'], [['je', 'skip']]),
      given: { site: 'ret0', updates: 2 },
    },
    { proposal: merged, given: { site: 'ret0', updates: 2 } },
  ],

  [
    'after-update',
    'the store is not synchronised',
    { proposal: atQword, given: { chunk: 'qword', dropSync: 1 } },
    { proposal: atQword, given: { chunk: 'qword' } },
  ],
  [
    'after-update',
    'membarrier does not serialise its caller, who calls then',
    { proposal: atQword, given: { chunk: 'qword', ...alone }, rules: noCaller },
    { proposal: atQword, given: { chunk: 'qword', ...alone } },
  ],
  [
    'after-update',
    'who sends IPIs does not serialise itself, and is interrupted',
    {
      proposal: of('store'),
      given: { chunk: 'qword', contexts: ['task', 'irq'], ...alone },
      rules: noCaller,
    },
    { proposal: of('store'), given: { chunk: 'qword', contexts: ['task', 'irq'], ...alone } },
  ],
  [
    'after-update',
    'stopped CPUs are released without serialising',
    { proposal: of('stop-machine', 'plain'), given: { chunk: 'line' } },
    { proposal: of('stop-machine'), given: { chunk: 'line' } },
  ],
  [
    'after-update',
    'the new target is never published',
    { proposal: omitted(shipped, (step) => step.do === 'publish') },
    { proposal: shipped },
  ],
  [
    'after-update',
    'the new target is published behind the last synchronisation, and the update returns',
    {
      proposal: restepped(shipped, (steps) => [...steps.slice(1, 6), steps[0]!]),
      given: { updates: 2 },
    },
    { proposal: shipped, given: { updates: 2 } },
  ],

  [
    'after-update-strict',
    'a second update passes a thread in its handler',
    { proposal: shipped, given: { updates: 2 } },
    { proposal: shipped, given: { updates: 1 } },
  ],
  [
    'after-update-strict',
    'membarrier passes handlers, an IPI does not',
    { proposal: shipped, given: { updates: 2 } },
    { proposal: of('int3-gap', 'permanent'), given: { updates: 2 } },
  ],

  [
    'trap-after-return',
    'int3 without its last synchronisation',
    { proposal: shipped, given: { dropSync: 3, updates: 1 } },
    { proposal: shipped, given: { updates: 1 } },
  ],

  [
    'after-update',
    'a hook is switched off without a synchronisation',
    { proposal: hook, given: { site: 'hook', dropSync: 1 } },
    { proposal: hook, given: { site: 'hook' } },
  ],
  [
    'after-update',
    'a hook leads to another target without the last synchronisation',
    { proposal: hook, given: { site: 'null', updates: 1, dropSync: 2 } },
    { proposal: hook, given: { site: 'null', updates: 1 } },
  ],
  [
    'torn',
    'the opcode is switched on before its displacement is known everywhere',
    { proposal: hook, given: { site: 'null', updates: 1, dropSync: 1 } },
    { proposal: hook, given: { site: 'null', updates: 1 } },
  ],
  [
    'torn',
    'the displacement is written while the site is on',
    {
      proposal: {
        ...hook,
        protocol: { ...hook.protocol, steps: swapped(hook.protocol.steps) },
      },
      given: { site: 'null', updates: 1 },
    },
    { proposal: hook, given: { site: 'null', updates: 1 } },
  ],
  [
    'torn',
    'a prefixed call becomes "return 0" byte by byte',
    { proposal: of('naive', '', 'user'), given: { site: 'call6-ret0', updates: 1 } },
    { proposal: shipped, given: { site: 'call6-ret0', updates: 1 } },
  ],
  [
    'torn',
    'a batch of a trap and a displacement without its first synchronisation',
    { proposal: of('auto', 'byte-and-trap'), given: { site: 'null', updates: 1, dropSync: 1 } },
    { proposal: of('auto', 'byte-and-trap'), given: { site: 'null', updates: 1 } },
  ],

  [
    'stack',
    'there is no gap to push into',
    { proposal: of('int3-gap', 'no-gap') },
    { proposal: merged },
  ],
  [
    'stack',
    'a tail site is sent down the way of a call',
    { proposal: of('int3-gap', 'lost-tail'), given: { site: 'jmp' } },
    { proposal: merged, given: { site: 'jmp' } },
  ],
  [
    'stack',
    'the same in a process',
    { proposal: of('int3', 'lost-tail'), given: { site: 'jmp' } },
    { proposal: shipped, given: { site: 'jmp' } },
  ],
  [
    'stack',
    'the return address is one too high',
    { proposal: of('int3-percpu') },
    { proposal: of('int3-percpu', 'fixed') },
  ],
  [
    'stack',
    'the stack pointer is not lowered',
    { proposal: instead(merged, ['sub', 'rcx', 8], []) },
    { proposal: merged },
  ],

  [
    'stack',
    'the handler reads where nothing lies',
    {
      proposal: atResume(merged, [
        ['xor', 'ecx', 'ecx'],
        ['mov', 'rcx', mem('rcx')],
      ]),
    },
    { proposal: merged },
  ],
  [
    'stack',
    'the handler writes where nothing lies',
    {
      proposal: atResume(merged, [
        ['xor', 'ecx', 'ecx'],
        ['mov', mem('rcx'), 'rcx'],
      ]),
    },
    { proposal: merged },
  ],
  [
    'stack',
    'a trampoline returns from a stack that is none',
    { proposal: sent(merged, [['lea', 'rsp', rip('none')], ['ret'], label('none'), quad(0)]) },
    { proposal: merged },
  ],

  [
    'flags',
    'interrupts are off behind a call of nothing',
    {
      proposal: instead(merged, pops, [['mov', mem('rsp', FRAME.flags), FLAG.one], pops]),
      given: { site: 'null', updates: 2 },
    },
    { proposal: merged, given: { site: 'null', updates: 2 } },
  ],
  [
    'flags',
    'a callee-saved register is changed behind a call of nothing',
    {
      proposal: instead(merged, pops, [['inc', mem('rsp', FRAME.r12)], pops]),
      given: { site: 'null', updates: 2 },
    },
    { proposal: merged, given: { site: 'null', updates: 2 } },
  ],
  [
    'flags',
    'the trampoline leaves interrupts off',
    { proposal: instead(of('int3-percpu', 'fixed'), ['sti'], [['nop']]) },
    { proposal: of('int3-percpu', 'fixed') },
  ],
  [
    'flags',
    'R10 is lost, which a call keeps; R11 it may change',
    { proposal: instead(merged, ['iretq'], [['xor', 'r10d', 'r10d'], ['iretq']]) },
    { proposal: instead(merged, ['iretq'], [['xor', 'r11d', 'r11d'], ['iretq']]) },
  ],
  [
    'flags',
    'an argument register is lost',
    {
      proposal: instead(merged, pops, [pops, ['inc', 'rdi'], ['mov', mem('rsp', 112 - 8), 'rdi']]),
    },
    { proposal: merged },
  ],
  [
    'flags',
    'R10 is lost in a process',
    {
      proposal: instead(
        shipped,
        ['dec', 'rax'],
        [
          ['dec', 'rax'],
          ['mov', mem('rdx', 56), 'rax'],
        ],
      ),
    },
    { proposal: shipped },
  ],

  [
    'slot',
    'globals belong to the site that was patched last',
    { proposal: of('int3-stub', 'each-site') },
    { proposal: of('int3-stub') },
  ],
  [
    'target',
    'globals belong to the key that was updated last',
    { proposal: of('int3-stub', 'two-keys'), given: { updates: 2 } },
    { proposal: of('int3-gap', 'two-keys'), given: { updates: 2 } },
  ],
  [
    'slot',
    'an NMI shares the variables',
    { proposal: of('int3-percpu', 'fixed'), given: { contexts: ['task', 'nmi'] } },
    { proposal: of('int3-percpu', 'fixed'), given: { contexts: ['task', 'irq'] } },
  ],
  [
    'slot',
    'an interrupt comes before the trampoline has read them: IF is kept',
    { proposal: of('int3-percpu', 'if-kept'), given: { contexts: ['task', 'irq'] } },
    { proposal: of('int3-percpu', 'fixed'), given: { contexts: ['task', 'irq'] } },
  ],
  [
    'slot',
    'the task goes on where another one was',
    {
      proposal: of('int3-percpu', 'if-kept'),
      given: { contexts: ['task', 'preempt'], cpus: 2, tasks: 3 },
    },
    {
      proposal: of('int3-percpu', 'fixed'),
      given: { contexts: ['task', 'preempt'], cpus: 2, tasks: 3 },
    },
  ],
  [
    'slot',
    'all levels have one slot',
    {
      proposal: instead(
        of('int3-levels'),
        ['mov', 'rcx', gs(PERCPU.level)],
        [['xor', 'ecx', 'ecx']],
      ),
      given: { contexts: ['task', 'nmi'] },
    },
    { proposal: of('int3-levels'), given: { contexts: ['task', 'nmi'] } },
  ],
  [
    'slot',
    'a machine check comes inside an NMI',
    { proposal: of('int3-percpu-nmi'), given: { contexts: ['task', 'nmi', 'mc'] } },
    { proposal: of('int3-percpu-nmi'), given: { contexts: ['task', 'irq'] } },
  ],

  [
    'lockdep',
    'the way out of 2019 does not tell that interrupts are on again',
    { proposal: instead(merged, ['mov', gs(PERCPU.lockdep), 1], []), given: { entry: '2019' } },
    { proposal: merged, given: { entry: '2019' } },
  ],
  [
    'lockdep',
    'the handler tells, and the way out takes it back',
    { proposal: of('int3-percpu-nmi', 'handler'), given: { entry: '2019' } },
    { proposal: of('int3-percpu-nmi', 'trampoline'), given: { entry: '2019' } },
  ],
  [
    'lockdep',
    'nobody tells of the STI',
    { proposal: of('int3-percpu-nmi'), given: { entry: '2019' } },
    { proposal: of('int3-percpu-nmi', 'trampoline'), given: { entry: '2019' } },
  ],

  [
    'shadow-stack',
    'RIP is changed under a shadow stack',
    { proposal: merged, given: { shadowStack: true } },
    { proposal: of('int3-shift', 'shadow'), given: { shadowStack: true } },
  ],
  [
    'shadow-stack',
    'RIP is changed in an NMI, which has a shadow stack of its own',
    { proposal: merged, given: { shadowStack: true, contexts: ['task', 'nmi', 'mc'] } },
    {
      proposal: of('int3-gap', 'shadow'),
      given: { shadowStack: true, contexts: ['task', 'nmi', 'mc'] },
    },
  ],
  [
    'shadow-stack',
    'a call is emulated on one of the two stacks, in a process',
    { proposal: shipped, given: { shadowStack: true } },
    { proposal: of('int3', 'shadow'), given: { shadowStack: true } },
  ],

  [
    'shadow-stack',
    'the handler of a process overwrites the token that sigreturn checks',
    {
      proposal: atResume(shipped, [
        ['rdsspq', 'rcx'],
        ['xor', 'esi', 'esi'],
        ['wrssq', mem('rcx', 8), 'rsi'],
      ]),
      given: { shadowStack: true },
    },
    { proposal: of('int3', 'shadow'), given: { shadowStack: true } },
  ],

  [
    'deadlock',
    'the handler waits with interrupts off until the trap is gone',
    { proposal: instead(merged, ['dec', 'rax'], spin) },
    { proposal: instead(shipped, ['dec', 'rax'], spin) },
  ],
  [
    'deadlock',
    "a task waits with interrupts off for the updater's lock",
    { proposal: of('int3-gap', 'spin') },
    { proposal: merged },
  ],

  [
    'livelock',
    'two handlers make each other look again',
    { proposal: inTurn, given: { cpus: 2 } },
    { proposal: once, given: { cpus: 2 } },
  ],
  [
    'livelock',
    'nobody else is there to make a handler look again',
    { proposal: inTurn, given: { cpus: 2 } },
    { proposal: inTurn, given: { cpus: 1 } },
  ],
  [
    'livelock',
    'a jump to itself is gone, and no CPU is told',
    { proposal: jmpSelf, given: { chunk: 'qword', dropSync: 3 } },
    { proposal: jmpSelf, given: { chunk: 'qword' } },
  ],
  [
    'livelock',
    'and where a CPU sees what memory holds it need not be',
    { proposal: jmpSelf, given: { chunk: 'qword', dropSync: 3 } },
    { proposal: jmpSelf, given: { chunk: 'qword', dropSync: 3, fetch: 'F0' } },
  ],

  [
    'indirect-branch',
    'the stub calls through memory',
    { proposal: of('int3-stub') },
    { proposal: merged },
  ],
  [
    'indirect-branch',
    'the trampoline jumps through memory',
    { proposal: of('int3-percpu-nmi', 'jmp') },
    { proposal: of('int3-percpu-nmi') },
  ],
  [
    'indirect-branch',
    'the retpoline is left out',
    { proposal: of('pointer') },
    { proposal: of('pointer', 'retpoline') },
  ],
  [
    'indirect-branch-strict',
    'a call is emulated without one',
    { proposal: merged },
    { proposal: merged, given: { site: 'jmp' } },
  ],

  [
    'stray-trap',
    'synchronisation 3 is dropped',
    { proposal: merged, given: { dropSync: 3 } },
    { proposal: of('int3-gap', 'permanent'), given: { dropSync: 3 } },
  ],
  [
    'stray-trap',
    'the table of a process is torn down',
    { proposal: of('int3-retire') },
    { proposal: of('int3-retire', 'versioned') },
  ],
  [
    'stray-trap',
    'SIGTRAP is blocked in its handler: no SA_NODEFER',
    { proposal: shipped, given: { contexts: ['task', 'signal'] }, rules: { nodefer: false } },
    { proposal: shipped, given: { contexts: ['task', 'signal'] } },
  ],
  [
    'stray-trap',
    'an IPI is accepted with interrupts off',
    { proposal: merged, rules: { ipiMasked: false } },
    { proposal: merged },
  ],
  [
    'stray-trap',
    'the handler keeps a trap of somebody else',
    { proposal: instead(of('int3-gap', 'foreign'), ['je', 'unclaimed'], [['je', 'exit']]) },
    { proposal: of('int3-gap', 'foreign') },
  ],
  [
    'stray-trap',
    'a handler of a process keeps it',
    { proposal: instead(of('int3', 'foreign'), ['jmp', 'rax'], [['ret']]) },
    { proposal: of('int3', 'foreign') },
  ],
  [
    'stray-trap',
    'a reference that the handler takes comes too late in a process',
    { proposal: of('int3-retire', 'counted') },
    { proposal: of('int3-retire', 'versioned') },
  ],
  [
    'stray-trap',
    'the updater does not wait for those in the handler, and synchronisation passes them',
    {
      proposal: omitted(of('int3-gap', 'counted'), (step) => step.do === 'await'),
      rules: { ipiMasked: false },
    },
    { proposal: of('int3-gap', 'counted') },
  ],
  [
    'stray-trap',
    'a look again is not enough where the next update has planted its trap',
    { proposal: of('int3-retire', 'reread'), given: { updates: 2 } },
    { proposal: of('int3-retire', 'versioned'), given: { updates: 2 } },
  ],
  [
    'stray-trap',
    'the version moves before the table is published',
    { proposal: of('int3-retire', 'version-first'), given: { updates: 2 } },
    { proposal: of('int3-retire', 'versioned'), given: { updates: 2 } },
  ],
  [
    'stray-trap',
    'the table is not sorted',
    { proposal: of('int3', 'unsorted'), given: { contexts: ['task', 'signal'] } },
    { proposal: of('int3', 'two-sites'), given: { contexts: ['task', 'signal'] } },
  ],
  [
    'stray-trap',
    'the table is retired before the last synchronisation',
    { proposal: restepped(merged, exchanged(6, 7)) },
    { proposal: merged },
  ],

  [
    'unwind',
    'a trampoline leaves the stack',
    { proposal: sent(merged, [['xor', 'esp', 'esp'], ['nop'], ['ud2']]) },
    { proposal: merged },
  ],
  [
    'unwind',
    'the rule of a trampoline leads back to it',
    { proposal: sent(merged, ownCaller) },
    { proposal: merged },
  ],
  [
    'stack',
    'a call is put into a function that keeps data below its stack pointer',
    { proposal: inLeaf(of('linux-uprobe')) },
    { proposal: of('linux-uprobe') },
  ],
  [
    'unwind',
    'a trampoline has no rule for its caller',
    { proposal: of('int3-percpu', 'fixed'), given: { contexts: ['task', 'nmi'] } },
    { proposal: merged, given: { contexts: ['task', 'nmi'] } },
  ],
];

/** The mistakes that the short run looks for without bounds too. */
const IN_SHORT: ReadonlySet<string> = new Set([
  'synchronisation 1 is dropped',
  'the handler skips the instruction',
  'stopped CPUs are released without serialising',
  'the handler waits with interrupts off until the trap is gone',
  'synchronisation 3 is dropped',
]);

/** Everything uncounted but what the protocol counts itself, or the flags of a conditional jump. */
function withoutBounds(mutant: Case): Case {
  const { proposal, given = {} } = mutant;
  const counts =
    proposal.updaters === 'unlocked' || proposal.name === 'int3-retire' || proposal.keys === 2;
  const jumps = [given.site, proposal.second?.site].some((site) => site?.startsWith('jcc'));
  const { passes = 1, updates = 1 } = given;
  const kept = { ...(counts ? { updates } : {}), ...(jumps ? { passes } : {}) };
  return { ...mutant, given: { ...given, ...BOUNDS_ANY, ...kept } };
}

/** Places that found a promise broken in some run so far. */
const reached = new Set<Breach>();
function verdict(property: PropertyName, { proposal, given = {}, rules = {} }: Case): string {
  const small = {
    contexts: ['task'],
    passes: 1,
    updates: 1,
    cpus: 1,
    environment: proposal.environment,
  } as const;
  const { properties, model, strict } = run(
    proposal,
    configure({ ...small, ...given }),
    { states: 400_000, seconds: 20 },
    { ...RULES, ...rules },
  );
  for (const each of model.breaches) reached.add(each);
  for (const each of strict?.model.breaches ?? []) reached.add(each);
  const { verdict: word, story } = properties.get(property)!;
  return `${word}${word === 'unknown' ? ` ${story ?? ''}` : ''}`;
}

/** Two searches of seconds, whose places other mutants reach as well. */
const SLOW = ['the task goes on where another one was', 'a machine check comes inside an NMI'];

describe('a mistake that breaks a property, and the nearest thing that does not', () => {
  it.for(MUTANTS.filter(([, what]) => LONG || !SLOW.includes(what)))(
    '%s: %s',
    ([property, , mutant, right]) => {
      expect(verdict(property, mutant), 'the mutant').toBe('fails');
      expect(verdict(property, right), 'the variant').toBe('holds');
    },
  );

  // Text of a protocol's own stands in its states in turn, which a bound counts.
  const free = MUTANTS.filter(([, , { proposal }]) => proposal.protocol.text === undefined);
  const lifted = LONG ? free : free.filter(([, what]) => IN_SHORT.has(what));
  it.for(lifted)('%s, without bounds: %s', ([property, , mutant]) => {
    expect(verdict(property, withoutBounds(mutant)), 'the mutant').toBe('fails');
  });

  it('is there for every property', () => {
    expect([...new Set(MUTANTS.map(([property]) => property))].sort()).toEqual(
      [...PROPERTY_NAMES].sort(),
    );
  });

  it('target: a target goes to itself, so that one pass enters a second', () => {
    const program: Program = [label('task'), ['call', 'f'], label('done'), ['ud2']];
    const toItself = (name: string): Program => [label(name), ['jmp', name]];
    const found = outcomes({
      environment: 'kernel',
      site: 'call',
      offset: 8,
      updates: 0,
      steps: [],
      program: { program, target: toItself, words: [] },
      read: () => 'done',
    });
    expect(found).toEqual(
      [bad('target-second', 'one pass enters a second target')].map(
        ({ property, text }) => `${property}: ${text}`,
      ),
    );
    reached.add('target-second');
  });

  it('is there for every place that finds a promise broken', () => {
    const places = Object.keys(BREACHES) as Breach[];
    expect(places.filter((place) => !reached.has(place))).toEqual([]);
  });

  it('is there for one place alone', () => {
    const sources = readdirSync('src/machine/sim')
      .filter((name) => name !== 'promises.ts')
      .map((name) => readFileSync(`src/machine/sim/${name}`, 'utf8'))
      .join('');
    const times = (place: string) => sources.split(`'${place}'`).length - 1;
    expect(Object.keys(BREACHES).filter((place) => times(place) !== 1)).toEqual([]);
  });
});
