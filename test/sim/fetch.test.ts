// For every rule of fetching, ordering and events a small program that can tell whether it is in
// force: its answer under the rule, and another one when the rule is taken away. First come the
// rules that are a choice of the configuration, where taking one away is choosing its neighbour;
// then those that nobody may choose.

import { describe, expect, it } from 'vitest';
import { configure, type Configuration } from '#check/configuration';
import { outcomes, type Litmus, type LitmusMachine } from '#check/litmus/outcomes';
import { run } from '#check/search/run';
import { PROPOSALS } from '#zoo/index';
import { RULES, type Draining, type Rules, type Serialising } from '#machine/sim/rules';
import { Text } from '#machine/sim/text';
import { gs, label, mem, rip, type Instruction, type Program } from '#asm/assembler';
import { PERCPU } from '#trap/kernel';
import type { Step } from '#plan/protocol';

const NUMBER: Record<string, number> = { A: 1, B: 2, C: 3 };
/** Each target says its number in R8. */
const target = (name: string): Program => [label(name), ['mov', 'r8d', NUMBER[name]!], ['ret']];
const pass: Program = [
  ['call', 'f'],
  ['shl', 'r9d', 4],
  ['or', 'r9d', 'r8d'],
];
const task = (...body: Program): Program => [
  label('task'),
  ['xor', 'r9d', 'r9d'],
  ['xor', 'r11d', 'r11d'],
  ...body,
  label('done'),
  ['ud2'],
];

const store = (part: 'first' | 'rest' | 'changed', as: 'one' | 'exchange' = 'one'): Step => ({
  do: 'store',
  part,
  bytes: 'new',
  as,
  why: 'for the question',
});

const LITMUS: Litmus = {
  environment: 'kernel',
  site: 'call',
  offset: 8,
  updates: 1,
  steps: [store('changed')],
  program: { program: task(...pass), target, words: [] },
  read: ({ cpu }) => cpu.r[9]!.toString(16),
};
/** Words of the shared data that no table uses. */
const WORD = { turn: 24, x: 25, y: 26 };
const shared = (word: keyof typeof WORD) => rip('table', 8 * WORD[word]);

/** The outcomes of `litmus` with this body in its task, and after it this code. */
function ends(
  litmus: Partial<Litmus> & { body?: Program; behind?: Program; words?: number[] },
  machine: Partial<LitmusMachine> = {},
): string[] {
  const { body = pass, behind = [], words = [], ...rest } = litmus;
  return outcomes(
    { ...LITMUS, ...rest, program: { program: [...task(...body), ...behind], target, words } },
    machine,
  );
}
const torn = (outcome: string): boolean => outcome.startsWith('torn');
const without = (change: Partial<Rules>): Rules => ({ ...RULES, ...change });
const notSerialising = (...names: Serialising[]): Rules =>
  without({ serialising: new Set([...RULES.serialising].filter((name) => !names.includes(name))) });
const alsoSerialising = (name: Serialising): Rules =>
  without({ serialising: new Set([...RULES.serialising, name]) });
const notDraining = (name: Draining): Rules =>
  without({ draining: new Set([...RULES.draining].filter((each) => each !== name)) });

function verdict(
  name: string,
  property: Parameters<ReturnType<typeof run>['properties']['get']>[0],
  given: Partial<Configuration>,
  rules: Rules = RULES,
): string | undefined {
  const { environment = 'kernel' } = given;
  const proposal = PROPOSALS.find(
    (each) => each.name === name && each.variant === '' && each.environment === environment,
  )!;
  return run(
    proposal,
    configure({ contexts: ['task'], passes: 1, updates: 1, cpus: 1, ...given }),
    { states: 1_000_000, seconds: 30 },
    rules,
  ).properties.get(property)?.verdict;
}

describe('levels of fetching', () => {
  it('F0 reads the whole instruction at one instant, F1 chunk after chunk', () => {
    const mixed = (fetch: 'F0' | 'F1') => ends({}, { fetch }).some(torn);
    expect([mixed('F0'), mixed('F1')]).toEqual([false, true]);
  });

  it('F1 reads ascending, F1d descending, F1a in any order', () => {
    // "Return 0" becomes a call in two stores. Who reads in the order of the stores can find the first
    // one's bytes old and the second one's new; who reads against it cannot.
    const found = (fetch: 'F1' | 'F1d' | 'F1a', steps: Step[], mixture: RegExp) =>
      ends({ site: 'ret0', steps }, { fetch }).some((outcome) => mixture.test(outcome));
    const newFirstOldRest = [[store('rest'), store('first')], /torn.* e8 2e 2e 31 c0/] as const;
    const oldFirstNewRest = [[store('first'), store('rest')], /torn.* 2e 04 03/] as const;
    expect(
      (['F1', 'F1d', 'F1a'] as const).map((fetch) =>
        found(fetch, [...newFirstOldRest[0]], newFirstOldRest[1]),
      ),
    ).toEqual([false, true, true]);
    expect(
      (['F1', 'F1d', 'F1a'] as const).map((fetch) =>
        found(fetch, [...oldFirstNewRest[0]], oldFirstNewRest[1]),
      ),
    ).toEqual([true, false, true]);
  });

  it('F1 takes the newest bytes, F2 those from the mark on', () => {
    // The patcher writes y after the text: who has read y and calls then, calls the new target,
    // unless fetching may be late.
    const late = (fetch: 'F1' | 'F2') =>
      ends(
        {
          body: [['mov', 'r9', shared('y')], ...pass],
          words: [WORD.y],
          writes: [{ word: WORD.y, value: 1n }],
        },
        { fetch, chunk: 'line' },
      ).includes('11');
    expect([late('F1'), late('F2')]).toEqual([false, true]);
  });

  it('F2 moves the mark to what was seen, F3 leaves it until the CPU serialises', () => {
    const backwards = (fetch: 'F2' | 'F3', ...between: Program) =>
      ends({ body: [...pass, ...between, ...pass] }, { fetch, chunk: 'line' }).includes('21');
    expect([backwards('F2'), backwards('F3'), backwards('F3', ['cpuid'])]).toEqual([
      false,
      true,
      false,
    ]);
  });

  it('F4 refuses changed bytes that F3 allows, but for int3 in the first place, byte by byte', () => {
    const { chunk } = { chunk: 'line' } as const;
    expect(verdict('store', 'torn', { fetch: 'F3', chunk, offset: 8 })).toBe('holds');
    expect(verdict('store', 'torn', { fetch: 'F4', chunk, offset: 8 })).toBe('fails');
    expect(verdict('int3-gap', 'torn', { fetch: 'F4', chunk })).toBe('holds');
    expect(
      verdict('int3-gap', 'torn', { fetch: 'F4', chunk }, without({ int3Exempt: false })),
    ).toBe('fails');
    expect(
      verdict(
        'int3-gap',
        'torn',
        { fetch: 'F4', chunk, offset: 8 },
        without({ strictByByte: false }),
      ),
    ).toBe('fails');
  });

  it('F4 exempts int3 in the first place of an instruction, and in no other', () => {
    const strict = (at: number, value: number): boolean => {
      const text = new Text(
        'F4',
        'line',
        [0, 1].map((place) => ({ at: place, value: 0x90 })),
      );
      const view = text.commit(text.initial(), 0, [{ at, value }]);
      return text
        .fetch(
          view,
          0,
          2,
          () => 0,
          () => 2,
        )
        .some((way) => way.strict);
    };
    expect([strict(0, 0xcc), strict(1, 0xcc), strict(0, 0x91)]).toEqual([false, true, true]);
  });

  it('equal versions are one, so that updates without end close', () => {
    const views = (level: 'F2' | 'F3') => {
      const text = new Text(level, 'byte', [{ at: 0, value: 0 }]);
      let view = text.initial();
      for (let i = 0; i < 100; i++) view = text.commit(view, i % 3, [{ at: 0, value: i % 3 }]);
      return text.count;
    };
    expect(views('F3')).toBeLessThan(10);
    expect(views('F2')).toBeGreaterThan(90);
  });
});

describe('units', () => {
  // Displacement of a call at 8: inside a quadword; at 4: over its end; at 12: over the end of 16
  // bytes; at 28: of 32; at 61: of a line.
  it.for([
    [8, 'byte', 'qword'],
    [4, 'qword', 'fetch16'],
    [12, 'fetch16', 'fetch32'],
    [28, 'fetch32', 'line'],
    [8, 'byte', 'line'],
  ] as const)(
    'a call at byte %i is fetched torn in chunks of one %s and whole in one %s',
    ([offset, small, large]) => {
      const mixed = (chunk: LitmusMachine['chunk']) => ends({ offset }, { chunk }).some(torn);
      expect([mixed(small), mixed(large)]).toEqual([true, false]);
    },
  );
  it.for([
    [8, 'byte', 'qword'],
    [4, 'qword', 'line'],
  ] as const)(
    'a call at byte %i is stored torn by one %s and whole by one %s',
    ([offset, small, large]) => {
      const mixed = (width: LitmusMachine['store']) =>
        ends({ offset }, { store: width, fetch: 'F0' }).some(torn);
      expect([mixed(small), mixed(large)]).toEqual([true, false]);
    },
  );
  it('no chunk and no store is larger than a line', () => {
    expect(ends({ offset: 61 }, { store: 'line', fetch: 'F0' }).some(torn)).toBe(true);
    expect(ends({ offset: 61 }, { store: 'line', chunk: 'line' }).some(torn)).toBe(true);
  });
});

describe('store buffers', () => {
  it('delay a store past the return of its update, unless there are none', () => {
    const plain = { fetch: 'F0', offset: 8, dropSync: 1 } as const;
    // The policy's own store is locked and drains; a plain one is what `naive` makes, whose last
    // byte may be late.
    expect(verdict('naive', 'after-update', { ...plain, tso: true, store: 'line' })).toBe('fails');
    expect(verdict('naive', 'after-update', { ...plain, tso: false, store: 'line' })).toBe(
      'unknown',
    );
  });
  it('are empty before a synchronisation begins', () => {
    // Behind a mixture nothing is seen; up to there no call is late.
    expect(verdict('naive', 'after-update', { fetch: 'F0' })).toBe('unknown');
    expect(verdict('naive', 'after-update', { fetch: 'F0' }, notDraining('sync'))).toBe('fails');
  });
  it('let stores out in order', () => {
    const passed = (rules: Rules) =>
      ends({ site: 'ret0', steps: [store('first'), store('rest')] }, { fetch: 'F1d', rules }).some(
        (outcome) => / 2e 04 03/.test(outcome),
      );
    expect([passed(RULES), passed(without({ storesInOrder: false }))]).toEqual([false, true]);
  });

  /**
   * Store one word, load the other: on two CPUs both may find zero while the stores are buffered.
   */
  const crossed = (between: Program, machine: Partial<LitmusMachine> = {}): boolean =>
    ends(
      {
        cpus: 2,
        steps: [],
        updates: 0,
        words: Object.values(WORD),
        body: [
          ['mov', 'eax', 1],
          ['lock', 'xadd', shared('turn'), 'rax'],
          ['test', 'rax', 'rax'],
          ['jne', 'second'],
          ['mov', shared('x'), 1],
          ...between,
          ['mov', 'r9', shared('y')],
          ['jmp', 'done'],
          label('second'),
          ['mov', shared('y'), 1],
          ...between,
          ['mov', 'r9', shared('x')],
        ],
      },
      machine,
    ).includes('0 | 0');
  const fences: [string, Instruction, Draining][] = [
    ['a fence', ['mfence'], 'fence'],
    ['a locked instruction', ['lock', 'inc', mem('rsp', -8)], 'locked'],
    ['a serialising instruction', ['cpuid'], 'serialise'],
  ];

  it('are seen by their own CPU alone', () => {
    expect([crossed([]), crossed([], { tso: false })]).toEqual([true, false]);
  });
  it.for(fences)('are emptied by %s', ([, instruction, rule]) => {
    expect([crossed([instruction]), crossed([instruction], { rules: notDraining(rule) })]).toEqual([
      false,
      true,
    ]);
  });
  it('are emptied by the delivery of an event', () => {
    // Only the handler looks at the other word; it says 2 where it never ran behind the store.
    const look = (rules: Rules) =>
      ends(
        {
          cpus: 2,
          steps: [],
          updates: 0,
          events: ['irq'],
          words: Object.values(WORD),
          body: [
            ['mov', 'r9d', 2],
            ['xor', 'r10d', 'r10d'],
            ['mov', 'eax', 1],
            ['lock', 'xadd', shared('turn'), 'rax'],
            ['test', 'rax', 'rax'],
            ['jne', 'second'],
            ['mov', shared('x'), 1],
            ['mov', 'r10d', 1],
            ['cli'],
            ['jmp', 'done'],
            label('second'),
            ['mov', shared('y'), 1],
            ['mov', 'r10d', 2],
            ['cli'],
          ],
          behind: [
            label('irq'),
            ['cmp', 'r10d', 2],
            ['ja', 'irq.out'],
            ['je', 'irq.second'],
            ['cmp', 'r10d', 1],
            ['jb', 'irq.out'],
            ['mov', 'r9', shared('y')],
            ['jmp', 'irq.out'],
            label('irq.second'),
            ['mov', 'r9', shared('x')],
            label('irq.out'),
            ['iretq'],
          ],
        },
        { rules },
      ).includes('0 | 0');
    expect([look(RULES), look(notDraining('event'))]).toEqual([false, true]);
  });
});

describe('what serialises', () => {
  /** The second call runs the old target after the first ran the new one. */
  const backwards = (between: Program, rules: Rules = RULES): boolean =>
    ends(
      { body: [...pass, ...between, ...pass], words: [WORD.x] },
      { chunk: 'line', rules },
    ).includes('21');

  it.for<[string, Instruction[]]>([
    ['cpuid', [['cpuid']]],
    ['serialize', [['serialize']]],
    ['a move to CR3', [['mov', 'cr3', 'rax']]],
  ])('%s does', ([, code]) => {
    expect([backwards(code), backwards(code, notSerialising('instruction'))]).toEqual([
      false,
      true,
    ]);
  });
  it.for<[string, Program]>([
    ['lfence', [['lfence']]],
    ['mfence', [['mfence']]],
    ['sfence', [['sfence']]],
    ['a locked instruction', [['lock', 'inc', shared('x')]]],
    ['cli and sti', [['cli'], ['sti']]],
    ['swapgs, twice', [['swapgs'], ['swapgs']]],
    [
      'call, ret and jmp',
      [['call', 'leaf'], ['jmp', 'past'], label('leaf'), ['ret'], label('past')],
    ],
  ])('%s does not', ([, code]) => {
    expect(backwards(code)).toBe(true);
  });

  it('the way out of an interrupt does, the way into it does not', () => {
    const order = (rules: Rules): [boolean, boolean] => {
      const found = ends(
        {
          events: ['irq'],
          body: [...pass, ['xor', 'r11d', 'r11d'], ['cli'], ...pass],
          // Its own landing goes to R11, which a call may change.
          behind: [
            label('irq'),
            ['push', 'r8'],
            ['call', 'f'],
            ['mov', 'r11', 'r8'],
            ['pop', 'r8'],
            ['iretq'],
          ],
          read: ({ cpu }) => `${cpu.r[9]!.toString(16)} ${cpu.r[11]}`,
        },
        { chunk: 'line', rules },
      );
      return [
        found.some((outcome) => /^2. 1$/.test(outcome)),
        found.some((outcome) => /^.1 2$/.test(outcome)),
      ];
    };
    expect(order(RULES)).toEqual([true, false]);
    expect(order(alsoSerialising('interrupt'))).toEqual([false, false]);
    expect(order(notSerialising('iret'))[1]).toBe(true);
  });

  it('the way into a signal handler does, rt_sigreturn does not', () => {
    // The handler leaves its landing where RBX points: its own registers are gone when it returns.
    const order = (rules: Rules): [boolean, boolean] => {
      const found = ends(
        {
          environment: 'user',
          events: ['signal'],
          body: [
            ['push', 0],
            ['mov', 'rbx', 'rsp'],
            ...pass,
            ['mov', mem('rbx'), 0],
            ['mov', 'r10', mem('rbx')],
            ...pass,
          ],
          behind: [
            label('signal'),
            ['push', 'rbp'],
            ['call', 'f'],
            ['mov', mem('rbx'), 'r8'],
            ['pop', 'rbp'],
            ['ret'],
            label('restorer'),
            ['mov', 'rax', 15],
            ['syscall'],
          ],
          read: ({ cpu }) => `${cpu.r[9]!.toString(16)} ${cpu.r[10]}`,
        },
        { chunk: 'line', rules },
      );
      // New before the signal and old in it; new in it and old after it.
      return [
        found.some((outcome) => /^22 1$/.test(outcome)),
        found.some((outcome) => /^.1 2$/.test(outcome)),
      ];
    };
    expect(order(RULES)).toEqual([false, true]);
    expect(order(notSerialising('delivery'))[0]).toBe(true);
    expect(order(alsoSerialising('sigreturn'))[1]).toBe(false);
  });

  it('a switch to another task does, for the one that comes', () => {
    // Two tasks and one CPU. Who finds X set comes after the other's call of the new target, on the
    // same CPU.
    const late = (rules: Rules) =>
      ends(
        {
          environment: 'user',
          events: ['preempt'],
          cpus: 1,
          waiting: 1,
          words: Object.values(WORD),
          body: [
            ['mov', 'eax', 1],
            ['lock', 'xadd', shared('turn'), 'rax'],
            ['test', 'rax', 'rax'],
            ['jne', 'second'],
            ...pass,
            ['mov', 'eax', 'r8d'],
            ['lock', 'xadd', shared('x'), 'rax'],
            ['jmp', 'done'],
            label('second'),
            ['mov', 'r11', shared('x')],
            ...pass,
            ['cmp', 'r11', 2],
            ['je', 'done'],
            ['xor', 'r9d', 'r9d'],
          ],
        },
        { chunk: 'line', rules },
      ).some((outcome) => outcome.split(' | ').includes('1') && outcome.includes('2'));
    expect([late(RULES), late(notSerialising('switch'))]).toEqual([false, true]);
  });

  it('whoever synchronises the others serialises itself: membarrier since Linux 5.11, and who sends IPIs', () => {
    const alone = { cpus: 1, patcher: 'task', chunk: 'qword', offset: 8 } as const;
    expect(verdict('store', 'after-update', { environment: 'user', ...alone })).toBe('holds');
    expect(
      verdict('store', 'after-update', { environment: 'user', ...alone }, notSerialising('caller')),
    ).toBe('fails');
    // A signal's handler begins serialised; an interrupt's does not.
    expect(verdict('store', 'after-update', { contexts: ['task', 'irq'], ...alone })).toBe('holds');
    expect(
      verdict(
        'store',
        'after-update',
        { contexts: ['task', 'irq'], ...alone },
        notSerialising('caller'),
      ),
    ).toBe('fails');
  });

  it('an IPI and membarrier do', () => {
    expect(verdict('int3-gap', 'torn', {})).toBe('holds');
    expect(verdict('int3-gap', 'torn', {}, notSerialising('ipi'))).toBe('fails');
    expect(verdict('int3', 'torn', { environment: 'user' })).toBe('holds');
    expect(verdict('int3', 'torn', { environment: 'user' }, notSerialising('barrier'))).toBe(
      'fails',
    );
  });
});

describe('an event', () => {
  it('discards the instruction that was fetched before it', () => {
    const given = { fetch: 'F0', offset: 8, reduce: 'none' } as const;
    expect(verdict('store', 'after-update-strict', given)).toBe('holds');
    expect(verdict('store', 'after-update-strict', given, without({ discard: false }))).toBe(
      'fails',
    );
  });
  it('discards the part of an instruction that was fetched before it', () => {
    expect(verdict('int3-gap', 'torn', { fetch: 'F1' })).toBe('holds');
    expect(verdict('int3-gap', 'torn', { fetch: 'F1' }, without({ discard: false }))).toBe('fails');
  });
  it('is an IPI only where IF is set, and it serialises before it is acknowledged', () => {
    expect(verdict('int3-gap', 'stray-trap', {})).toBe('holds');
    expect(verdict('int3-gap', 'stray-trap', {}, without({ ipiMasked: false }))).toBe('fails');
    expect(verdict('int3-gap', 'torn', {}, without({ serialiseFirst: false }))).toBe('fails');
  });
  it('does not hold up membarrier while it is between trap and handler, or in the handler', () => {
    const given = { environment: 'user', updates: 2 } as const;
    expect(verdict('int3', 'after-update-strict', given)).toBe('fails');
    expect(
      verdict('int3', 'after-update-strict', given, without({ barrierPassesHandlers: false })),
    ).toBe('holds');
  });
});

describe('interrupts held back', () => {
  const still = { steps: [], updates: 0, events: ['irq'] as const };
  /** What R8 was at the last interrupt, once the program had set it to a number of one digit. */
  const seen = (body: Program, rules: Rules, rest: Partial<Litmus> = {}) =>
    ends(
      {
        ...still,
        body: [['cli'], ...body, ['cli']],
        behind: [
          label('irq'),
          ['mov', 'r9', 'r8'],
          ['iretq'],
          label('nmi'),
          ['iretq'],
          label('nmi.tail'),
          label('nmi.end'),
        ],
        ...rest,
      },
      { rules },
    ).filter((r8) => r8.length === 1);
  const sti: Program = [['mov', 'r8d', 1], ['sti'], ['mov', 'r8d', 2], ['mov', 'r8d', 3]];

  it('by STI, for one instruction', () => {
    expect(seen(sti, RULES)).toEqual(['0', '2', '3']);
    expect(seen(sti, without({ stiShadow: false }))).toEqual(['0', '1', '2', '3']);
  });
  it('by STI, but not past another event', () => {
    const rest = { events: ['irq', 'nmi'] } as const;
    expect(seen(sti, RULES, rest)).toEqual(['0', '1', '2', '3']);
    expect(seen(sti, without({ shadowEnds: false }), rest)).toEqual(['0', '2', '3']);
  });
  it('not by POPF', () => {
    const popf: Program = [
      ['sti'],
      ['pushfq'],
      ['cli'],
      ['mov', 'r8d', 1],
      ['popfq'],
      ['mov', 'r8d', 2],
    ];
    expect(seen(popf, RULES)).toContain('1');
    expect(seen(popf, without({ shadowOfStiAlone: false }))).not.toContain('1');
  });
  it('not by IRET', () => {
    // There is one boundary at which R8 is 1: two interrupts there have no instruction between
    // them.
    const twice = (rules: Rules) =>
      ends(
        {
          ...still,
          body: [
            ['xor', 'r10d', 'r10d'],
            ['xor', 'r8d', 'r8d'],
            ['mov', 'r8d', 1],
            ['mov', 'r8d', 2],
            ['cli'],
          ],
          behind: [
            label('irq'),
            ['cmp', 'r8d', 1],
            ['jne', 'out'],
            ['cmp', 'r10d', 1],
            ['jne', 'once'],
            ['mov', 'r9d', 1],
            label('once'),
            ['mov', 'r10d', 1],
            label('out'),
            ['iretq'],
          ],
        },
        { rules },
      ).includes('1');
    expect([twice(RULES), twice(without({ shadowOfStiAlone: false }))]).toEqual([true, false]);
  });
});

describe('a second NMI', () => {
  /** How deep they nested at most, and how many bodies ran. */
  const nested = (inside: Program, rest: Partial<Litmus>, rules: Rules = RULES) =>
    ends(
      {
        steps: [],
        updates: 0,
        events: ['nmi'],
        body: [
          ['xor', 'r10d', 'r10d'],
          ['mov', 'r8d', 1],
        ],
        behind: [
          label('nmi'),
          ['inc', 'r10d'],
          ['cmp', 'r10d', 'r9d'],
          ['jbe', 'nmi.again'],
          ['mov', 'r9d', 'r10d'],
          label('nmi.again'),
          ['inc', 'r11d'],
          ...inside,
          ['cmp', gs(PERCPU.repeat), 0],
          ['je', 'nmi.tail'],
          ['mov', gs(PERCPU.repeat), 0],
          ['jmp', 'nmi.again'],
          label('nmi.tail'),
          ['dec', 'r10d'],
          ['iretq'],
          label('nmi.end'),
          label('trap'),
          ['iretq'],
        ],
        read: ({ cpu }) => `${cpu.r[9]} ${cpu.r[11]}`,
        ...rest,
      },
      { rules },
    ).filter((outcome) => /^\d \d$/.test(outcome)); // others: one came before R9 was set
  const trap: Program = [['int3'], ['nop']];

  it('waits for an IRET', () => {
    expect(nested([], { nmiRaw: true })).toEqual(['0 0', '1 1', '1 2']);
    expect(nested([], { nmiRaw: true }, without({ nmiHeldBack: false }))).toContain('2 2');
  });
  it('nests on the IRET of a trap in the first, on a stack of its own', () => {
    expect(nested(trap, { nmiRaw: true })).toContain('2 2');
  });
  it('is marked by Linux instead, and the body runs again', () => {
    expect(nested(trap, {})).toEqual(['0 0', '1 1', '1 2']);
  });
});

it('every rule has been taken away by some test above', () => {
  const taken = [
    'serialising',
    'draining',
    'storesInOrder',
    'discard',
    'stiShadow',
    'shadowEnds',
    'shadowOfStiAlone',
    'nmiHeldBack',
    'ipiMasked',
    'serialiseFirst',
    'barrierPassesHandlers',
    'int3Exempt',
    'strictByByte',
  ];
  // SA_NODEFER is the handler's affair: test/check/mutants.test.ts takes it away.
  expect([...taken, 'nodefer'].sort()).toEqual(Object.keys(RULES).sort());
});
