// For every property a mistake that breaks it, and beside it the nearest thing that does not: the
// checker is worth nothing where it cannot fail. A mutant changes one instruction of a handler, one
// step of a protocol, one rule of the machine or one word of the configuration.

import { describe, expect, it } from 'vitest';
import { configure, type Configuration } from '#check/configuration';
import { PROPERTY_NAMES, type PropertyName } from '#check/properties';
import { run } from '#check/run';
import { findSubject, type Subject } from '#check/subject';
import { RULES, type Rules } from '#machine/sim/rules';
import type { Protocol, Step } from '#plan/protocol';
import { gs, label, mem, mem8, type Item, type Program } from '#trap/assembler';
import { PERCPU } from '#trap/kernel';
import { UCONTEXT } from '#trap/sigtrap';
import { inTurn, jmpSelf, once } from '../sim/livelocks.js';

interface Case {
  readonly subject: Subject;
  readonly given?: Partial<Configuration>;
  readonly rules?: Partial<Rules>;
}

const of = (name: string, variant = '', environment?: Subject['environment']): Subject =>
  findSubject(name, variant, environment);
const written = (item: Item): string =>
  JSON.stringify(item, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value));
const same = (a: Item, b: Item): boolean => written(a) === written(b);

/** The subject with its handler's program changed. */
function recoded(subject: Subject, change: (program: Program) => Program): Subject {
  return {
    ...subject,
    handler: (entry) => {
      const handler = subject.handler!(entry);
      return { ...handler, program: change(handler.program) };
    },
  };
}
/** The first `from` in the program becomes `to`. */
function instead(subject: Subject, from: Item, to: Program): Subject {
  return recoded(subject, (program) => {
    const at = program.findIndex((item) => same(item, from));
    expect(at, 'the mutant has something to change').toBeGreaterThanOrEqual(0);
    return program.toSpliced(at, 1, ...to);
  });
}
function restepped(subject: Subject, change: (steps: readonly Step[]) => readonly Step[]): Subject {
  const protocol: Protocol = { ...subject.protocol, steps: change(subject.protocol.steps) };
  return { ...subject, protocol };
}
const omitted = (subject: Subject, which: (step: Step) => boolean): Subject =>
  restepped(subject, (steps) => steps.filter((step) => !which(step)));
const exchanged = (a: number, b: number) => (steps: readonly Step[]) =>
  steps.map((step, i) => (i === a ? steps[b]! : i === b ? steps[a]! : step));

const merged = of('int3-gap');
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

/** The property that breaks, what is wrong, where it is wrong, and the nearest that is right. */
const MUTANTS: readonly [PropertyName, string, Case, Case][] = [
  [
    'torn',
    'synchronisation 1 is dropped',
    { subject: merged, given: { dropSync: 1 } },
    { subject: merged },
  ],
  [
    'torn',
    'synchronisation 2 is dropped',
    { subject: merged, given: { dropSync: 2 } },
    { subject: merged },
  ],
  [
    'torn',
    'synchronisation 2 is dropped, in a process',
    { subject: shipped, given: { dropSync: 2 } },
    { subject: shipped },
  ],
  [
    'torn',
    'an IPI is acknowledged before it serialises',
    { subject: merged, rules: { serialiseFirst: false } },
    { subject: merged },
  ],
  [
    'torn',
    'the rest is stored before the first synchronisation',
    { subject: restepped(shipped, exchanged(2, 3)) },
    { subject: shipped },
  ],
  [
    'torn',
    'the first byte comes back before the second synchronisation',
    { subject: restepped(shipped, exchanged(4, 5)) },
    { subject: shipped },
  ],
  [
    'torn',
    'no trap byte is planted',
    { subject: omitted(shipped, (step) => step.do === 'store' && step.bytes === 'trap') },
    { subject: shipped },
  ],
  [
    'torn',
    'a store is split where the changed bytes leave a quadword',
    { subject: of('store', 'in-line', 'user'), given: { store: 'qword', chunk: 'line' } },
    { subject: of('store', 'in-line', 'user'), given: { store: 'line', chunk: 'line' } },
  ],
  [
    'torn',
    'CPUs are stopped, but an NMI runs there',
    { subject: of('stop-machine'), given: { contexts: ['task', 'nmi'] } },
    { subject: of('stop-machine'), given: { contexts: ['task', 'irq'] } },
  ],
  [
    'torn',
    'the stopping CPU itself is interrupted by an NMI',
    { subject: of('stop-machine'), given: { contexts: ['task', 'nmi'], ...alone } },
    { subject: of('stop-machine'), given: { contexts: ['task', 'irq'], ...alone } },
  ],
  [
    'torn',
    'two updaters have no lock between them',
    { subject: of('int3-gap', 'no-lock'), given: { updates: 2 } },
    { subject: of('int3-gap', 'two-updaters'), given: { updates: 2 } },
  ],
  [
    'torn',
    'a late handler puts the old byte back into the next attempt',
    { subject: of('int3-abort', 'synced'), given: { fetch: 'F0' } },
    { subject: of('int3-abort', 'waiting'), given: { fetch: 'F0' } },
  ],
  [
    'torn',
    'stopped CPUs are released without serialising',
    { subject: of('stop-machine', 'plain') },
    { subject: of('stop-machine') },
  ],

  [
    'target',
    'the handler skips the instruction',
    { subject: of('int3-skip') },
    { subject: merged },
  ],
  [
    'target',
    'the handler of a process goes on behind a call',
    {
      subject: instead(
        shipped,
        ['mov', mem('rdx', UCONTEXT.rip), 'r11'],
        [['mov', mem('rdx', UCONTEXT.rip), 'r10']],
      ),
    },
    { subject: shipped },
  ],
  [
    'target',
    'return 0 is emulated by nothing',
    {
      subject: instead(merged, ['je', 'ret0'], [['je', 'skip']]),
      given: { site: 'ret0', updates: 2 },
    },
    { subject: merged, given: { site: 'ret0', updates: 2 } },
  ],

  [
    'after-update',
    'the store is not synchronised',
    { subject: atQword, given: { chunk: 'qword', dropSync: 1 } },
    { subject: atQword, given: { chunk: 'qword' } },
  ],
  [
    'after-update',
    'membarrier does not serialise its caller, who calls then',
    { subject: atQword, given: { chunk: 'qword', ...alone }, rules: noCaller },
    { subject: atQword, given: { chunk: 'qword', ...alone } },
  ],
  [
    'after-update',
    'who sends IPIs does not serialise itself, and is interrupted',
    {
      subject: of('store'),
      given: { chunk: 'qword', contexts: ['task', 'irq'], ...alone },
      rules: noCaller,
    },
    { subject: of('store'), given: { chunk: 'qword', contexts: ['task', 'irq'], ...alone } },
  ],
  [
    'after-update',
    'stopped CPUs are released without serialising',
    { subject: of('stop-machine', 'plain'), given: { chunk: 'line' } },
    { subject: of('stop-machine'), given: { chunk: 'line' } },
  ],
  [
    'after-update',
    'the new target is never published',
    { subject: omitted(shipped, (step) => step.do === 'publish') },
    { subject: shipped },
  ],
  [
    'after-update',
    'the new target is published behind the last synchronisation, and the update returns',
    {
      subject: restepped(shipped, (steps) => [...steps.slice(1, 6), steps[0]!]),
      given: { updates: 2 },
    },
    { subject: shipped, given: { updates: 2 } },
  ],

  [
    'after-update-strict',
    'a second update passes a thread in its handler',
    { subject: shipped, given: { updates: 2 } },
    { subject: shipped, given: { updates: 1 } },
  ],
  [
    'after-update-strict',
    'membarrier passes handlers, an IPI does not',
    { subject: shipped, given: { updates: 2 } },
    { subject: of('int3-gap', 'permanent'), given: { updates: 2 } },
  ],

  [
    'stack',
    'there is no gap to push into',
    { subject: of('int3-gap', 'no-gap') },
    { subject: merged },
  ],
  [
    'stack',
    'a tail site is sent down the way of a call',
    { subject: of('int3-gap', 'lost-tail'), given: { site: 'jmp' } },
    { subject: merged, given: { site: 'jmp' } },
  ],
  [
    'stack',
    'the same in a process',
    { subject: of('int3', 'lost-tail'), given: { site: 'jmp' } },
    { subject: shipped, given: { site: 'jmp' } },
  ],
  [
    'stack',
    'the return address is one too high',
    { subject: of('int3-percpu') },
    { subject: of('int3-percpu', 'fixed') },
  ],
  [
    'stack',
    'the stack pointer is not lowered',
    { subject: instead(merged, ['sub', 'rcx', 8], []) },
    { subject: merged },
  ],

  [
    'flags',
    'the trampoline leaves interrupts off',
    { subject: instead(of('int3-percpu', 'fixed'), ['sti'], [['nop']]) },
    { subject: of('int3-percpu', 'fixed') },
  ],
  [
    'flags',
    'R10 is lost, which a call keeps; R11 it may change',
    { subject: instead(merged, ['iretq'], [['xor', 'r10d', 'r10d'], ['iretq']]) },
    { subject: instead(merged, ['iretq'], [['xor', 'r11d', 'r11d'], ['iretq']]) },
  ],
  [
    'flags',
    'an argument register is lost',
    { subject: instead(merged, pops, [pops, ['inc', 'rdi'], ['mov', mem('rsp', 112 - 8), 'rdi']]) },
    { subject: merged },
  ],
  [
    'flags',
    'R10 is lost in a process',
    {
      subject: instead(
        shipped,
        ['dec', 'rax'],
        [
          ['dec', 'rax'],
          ['mov', mem('rdx', 56), 'rax'],
        ],
      ),
    },
    { subject: shipped },
  ],

  [
    'slot',
    'an NMI shares the variables',
    { subject: of('int3-percpu', 'fixed'), given: { contexts: ['task', 'nmi'] } },
    { subject: of('int3-percpu', 'fixed'), given: { contexts: ['task', 'irq'] } },
  ],
  [
    'slot',
    'an interrupt comes before the trampoline has read them: IF is kept',
    { subject: of('int3-percpu', 'if-kept'), given: { contexts: ['task', 'irq'] } },
    { subject: of('int3-percpu', 'fixed'), given: { contexts: ['task', 'irq'] } },
  ],
  [
    'slot',
    'the task goes on where another one was',
    {
      subject: of('int3-percpu', 'if-kept'),
      given: { contexts: ['task', 'preempt'], cpus: 2, tasks: 3 },
    },
    {
      subject: of('int3-percpu', 'fixed'),
      given: { contexts: ['task', 'preempt'], cpus: 2, tasks: 3 },
    },
  ],
  [
    'slot',
    'all levels have one slot',
    {
      subject: instead(
        of('int3-levels'),
        ['mov', 'rcx', gs(PERCPU.level)],
        [['xor', 'ecx', 'ecx']],
      ),
      given: { contexts: ['task', 'nmi'] },
    },
    { subject: of('int3-levels'), given: { contexts: ['task', 'nmi'] } },
  ],
  [
    'slot',
    'a machine check comes inside an NMI',
    { subject: of('int3-percpu-nmi'), given: { contexts: ['task', 'nmi', 'mc'] } },
    { subject: of('int3-percpu-nmi'), given: { contexts: ['task', 'irq'] } },
  ],

  [
    'lockdep',
    'the way out of 2019 does not tell that interrupts are on again',
    { subject: instead(merged, ['mov', gs(PERCPU.lockdep), 1], []), given: { entry: '2019' } },
    { subject: merged, given: { entry: '2019' } },
  ],
  [
    'lockdep',
    'the handler tells, and the way out takes it back',
    { subject: of('int3-percpu-nmi', 'handler'), given: { entry: '2019' } },
    { subject: of('int3-percpu-nmi', 'trampoline'), given: { entry: '2019' } },
  ],
  [
    'lockdep',
    'nobody tells of the STI',
    { subject: of('int3-percpu-nmi'), given: { entry: '2019' } },
    { subject: of('int3-percpu-nmi', 'trampoline'), given: { entry: '2019' } },
  ],

  [
    'shadow-stack',
    'RIP is changed under a shadow stack',
    { subject: merged, given: { shadowStack: true } },
    { subject: of('int3-shift', 'shadow'), given: { shadowStack: true } },
  ],
  [
    'shadow-stack',
    'RIP is changed in an NMI, which has a shadow stack of its own',
    { subject: merged, given: { shadowStack: true, contexts: ['task', 'nmi', 'mc'] } },
    {
      subject: of('int3-gap', 'shadow'),
      given: { shadowStack: true, contexts: ['task', 'nmi', 'mc'] },
    },
  ],
  [
    'shadow-stack',
    'a call is emulated on one of the two stacks, in a process',
    { subject: shipped, given: { shadowStack: true } },
    { subject: of('int3', 'shadow'), given: { shadowStack: true } },
  ],

  [
    'deadlock',
    'the handler waits with interrupts off until the trap is gone',
    { subject: instead(merged, ['dec', 'rax'], spin) },
    { subject: instead(shipped, ['dec', 'rax'], spin) },
  ],
  [
    'deadlock',
    "a task waits with interrupts off for the updater's lock",
    { subject: of('int3-gap', 'spin') },
    { subject: merged },
  ],

  [
    'livelock',
    'two handlers make each other look again',
    { subject: inTurn, given: { cpus: 2 } },
    { subject: once, given: { cpus: 2 } },
  ],
  [
    'livelock',
    'nobody else is there to make a handler look again',
    { subject: inTurn, given: { cpus: 2 } },
    { subject: inTurn, given: { cpus: 1 } },
  ],
  [
    'livelock',
    'a jump to itself is gone, and no CPU is told',
    { subject: jmpSelf, given: { chunk: 'qword', dropSync: 3 } },
    { subject: jmpSelf, given: { chunk: 'qword' } },
  ],
  [
    'livelock',
    'and where a CPU sees what memory holds it need not be',
    { subject: jmpSelf, given: { chunk: 'qword', dropSync: 3 } },
    { subject: jmpSelf, given: { chunk: 'qword', dropSync: 3, fetch: 'F0' } },
  ],

  [
    'indirect-branch',
    'the stub calls through memory',
    { subject: of('int3-stub') },
    { subject: merged },
  ],
  [
    'indirect-branch',
    'the trampoline jumps through memory',
    { subject: of('int3-percpu-nmi', 'jmp') },
    { subject: of('int3-percpu-nmi') },
  ],
  [
    'indirect-branch',
    'the retpoline is left out',
    { subject: of('pointer') },
    { subject: of('pointer', 'retpoline') },
  ],
  [
    'indirect-branch-strict',
    'a call is emulated without one',
    { subject: merged },
    { subject: merged, given: { site: 'jmp' } },
  ],

  [
    'stray-trap',
    'synchronisation 3 is dropped',
    { subject: merged, given: { dropSync: 3 } },
    { subject: of('int3-gap', 'permanent'), given: { dropSync: 3 } },
  ],
  [
    'stray-trap',
    'the table of a process is torn down',
    { subject: of('int3-retire') },
    { subject: of('int3-retire', 'versioned') },
  ],
  [
    'stray-trap',
    'SIGTRAP is blocked in its handler: no SA_NODEFER',
    { subject: shipped, given: { contexts: ['task', 'signal'] }, rules: { nodefer: false } },
    { subject: shipped, given: { contexts: ['task', 'signal'] } },
  ],
  [
    'stray-trap',
    'an IPI is accepted with interrupts off',
    { subject: merged, rules: { ipiMasked: false } },
    { subject: merged },
  ],
  [
    'stray-trap',
    'the handler keeps a trap of somebody else',
    { subject: instead(of('int3-gap', 'foreign'), ['je', 'unclaimed'], [['je', 'exit']]) },
    { subject: of('int3-gap', 'foreign') },
  ],
  [
    'stray-trap',
    'a handler of a process keeps it',
    { subject: instead(of('int3', 'foreign'), ['jmp', 'rax'], [['ret']]) },
    { subject: of('int3', 'foreign') },
  ],
  [
    'stray-trap',
    'a reference that the handler takes comes too late in a process',
    { subject: of('int3-retire', 'counted') },
    { subject: of('int3-retire', 'versioned') },
  ],
  [
    'stray-trap',
    'the updater does not wait for those in the handler, and synchronisation passes them',
    {
      subject: omitted(of('int3-gap', 'counted'), (step) => step.do === 'await'),
      rules: { ipiMasked: false },
    },
    { subject: of('int3-gap', 'counted') },
  ],
  [
    'stray-trap',
    'a look again is not enough where the next update has planted its trap',
    { subject: of('int3-retire', 'reread'), given: { updates: 2 } },
    { subject: of('int3-retire', 'versioned'), given: { updates: 2 } },
  ],
  [
    'stray-trap',
    'the version moves before the table is published',
    { subject: of('int3-retire', 'version-first'), given: { updates: 2 } },
    { subject: of('int3-retire', 'versioned'), given: { updates: 2 } },
  ],
  [
    'stray-trap',
    'the table is not sorted',
    { subject: of('int3', 'unsorted'), given: { contexts: ['task', 'signal'] } },
    { subject: of('int3', 'two-sites'), given: { contexts: ['task', 'signal'] } },
  ],
  [
    'stray-trap',
    'the table is retired before the last synchronisation',
    { subject: restepped(merged, exchanged(6, 7)) },
    { subject: merged },
  ],

  [
    'unwind',
    'a trampoline has no rule for its caller',
    { subject: of('int3-percpu', 'fixed'), given: { contexts: ['task', 'nmi'] } },
    { subject: merged, given: { contexts: ['task', 'nmi'] } },
  ],
];

function verdict(property: PropertyName, { subject, given = {}, rules = {} }: Case): string {
  const small = {
    contexts: ['task'],
    passes: 1,
    updates: 1,
    cpus: 1,
    environment: subject.environment,
  } as const;
  const { properties } = run(
    subject,
    configure({ ...small, ...given }),
    { states: 400_000, seconds: 20 },
    { ...RULES, ...rules },
  );
  const { verdict: word, story } = properties.get(property)!;
  return `${word}${word === 'unknown' ? ` ${story ?? ''}` : ''}`;
}

describe('a mistake that breaks a property, and the nearest thing that does not', () => {
  it.for(MUTANTS)('%s: %s', ([property, , mutant, right]) => {
    expect(verdict(property, mutant), 'the mutant').toBe('fails');
    expect(verdict(property, right), 'the variant').toBe('holds');
  });

  it('is there for every property', () => {
    expect([...new Set(MUTANTS.map(([property]) => property))].sort()).toEqual(
      [...PROPERTY_NAMES].sort(),
    );
  });
});
