import { describe, expect, it } from 'vitest';
import { configure } from '#check/configuration';
import { build } from '#check/search/build';
import { PROPOSALS } from '#zoo/index';
import type { Model } from '#machine/sim/model';
import type { SiteShape } from '#machine/sim/settings';
import type { Protocol } from '#plan/protocol';
import { narrowed } from '#plan/protocol';
import { auto } from '#plan/protocols/auto';
import { int3 } from '#plan/protocols/int3';
import { store } from '#plan/protocols/store';
import { sigtrap } from '#native/sigtrap';
import { Folder, gcc } from '../build.js';
import { byHand, emitted, program, ran } from '../runtime/programs.js';
import { answer, child } from './child.js';
import { LONG, more } from '../more.js';

type Effect =
  | { write: string }
  | { store: number; bytes: number[]; locked: boolean }
  | { sync: true }
  | { asked: true };
interface Shipped {
  effects: Effect[];
  text: number[];
  handler: number[];
  data: number;
  installed: boolean;
}

const INT3 = 0xcc;
const here = process.platform === 'linux' && process.arch === 'x64';

function explored(name: string, site: SiteShape, offset: number): Model {
  const proposal = PROPOSALS.find(
    (each) => each.name === name && each.variant === '' && each.environment === 'user',
  )!;
  return build(
    proposal,
    configure({ environment: 'user', site, offset, updates: 1, store: 'line' }),
    { plain: false, split: false },
  );
}

/**
 * What the checker's patcher does, in the words of the child; a process asks first whether the
 * handler is still there.
 */
function operations({ ops, fixture }: Model, protocol: Protocol): Effect[] {
  const { at, ways } = fixture.sites[0]!;
  const { handler } = narrowed(protocol, ways[1]!);
  return (handler === null ? [] : [{ asked: true } as Effect]).concat(
    ops.flatMap((op): Effect[] => {
      if (op.op === 'write') return [{ write: op.write.value.toString(16) }];
      if (op.op === 'store')
        return [{ store: op.at - at, bytes: [...op.bytes], locked: op.locked }];
      return op.op === 'barrier' ? [{ sync: true }] : [];
    }),
  );
}

function performed(
  protocol: Protocol,
  model: Model,
  offset: number,
  writer: 'alias' | 'procmem',
): Shipped {
  const [old, fresh] = model.fixture.sites[0]!.contents;
  const way = model.fixture.sites[0]!.ways[1]!;
  const word = operations(model, protocol).flatMap((effect) =>
    'write' in effect ? [effect.write] : [],
  )[0]!;
  return answer<Shipped>(
    child('shipped.mjs', [
      JSON.stringify({ protocol, writer, offset, old, new: fresh, way, word: `0x${word}` }),
    ]),
  );
}

describe.skipIf(!here)('what ships is what was checked', () => {
  it.for<['auto' | 'int3' | 'store', SiteShape, number]>([
    ['auto', 'hook', 61],
    ['auto', 'null', 61],
    ['auto', 'call', 8],
    ...more<['auto', SiteShape, number][]>(
      ['auto', 'call', 61],
      ['auto', 'jmp-hook', 63],
      ['auto', 'jmp-null', 61],
      ['auto', 'call6-hook', 62],
      ['auto', 'call6-null', 59],
      ['auto', 'jmp6-hook', 63],
      ['auto', 'jmp6-null', 60],
      ['auto', 'ret0', 8],
    ),
    ['int3', 'call', 61],
    ['int3', 'jcc', 61],
    ...more<['int3', SiteShape, number][]>(
      ['int3', 'call', 8],
      ['int3', 'null', 60],
      ['int3', 'ret0', 3],
      ['int3', 'jmp', 62],
      ['int3', 'jcc-null', 60],
      ['int3', 'call6', 61],
      ['int3', 'call6-ret0', 59],
      ['int3', 'jmp6', 63],
      ['int3', 'jmp6-null', 8],
    ),
    ['store', 'call', 8],
    ['store', 'null', 8],
    ['store', 'jcc', 8],
    ...more<['store', SiteShape, number][]>(
      ['store', 'call', 19],
      ['store', 'ret0', 59],
      ['store', 'jmp', 59],
      ['store', 'jcc-ret0', 34],
      ['store', 'call6', 8],
      ['store', 'call6-null', 10],
      ['store', 'jmp6', 56],
    ),
  ])(
    '%s at a site %s at byte %i of its line: the same words, stores and synchronisations in the same order',
    ([name, shape, offset]) => {
      const protocol = { auto, int3, store }[name];
      const model = explored(protocol.name, shape, offset);
      const { effects, text } = performed(protocol, model, offset, 'alias');
      expect(effects).toEqual(operations(model, protocol));
      expect(text).toEqual(model.fixture.sites[0]!.contents[1]);
    },
  );

  it('int3 through /proc/self/mem: the same, but that the kernel copies the rest in one call', () => {
    const model = explored('int3', 'call', 61);
    const { effects } = performed(int3, model, 61, 'procmem');
    const byByte = effects.flatMap((effect): Effect[] =>
      'store' in effect
        ? effect.bytes.map((byte, i) => ({ store: effect.store + i, bytes: [byte], locked: false }))
        : [effect],
    );
    expect(byByte).toEqual(operations(model, int3));
  });

  it('the handler in the process is the explored one, but for its one word', () => {
    const model = explored('int3', 'call', 61);
    const { handler, data, installed } = performed(int3, model, 61, 'alias');
    const simulated = model.fixture.code.blob('handler').bytes;
    const { words } = sigtrap();
    expect(words.map(({ name }) => name)).toEqual(['data']);
    const { offset } = words[0]!;
    const inProcess = Uint8Array.from(handler);
    expect(Number(new DataView(inProcess.buffer).getBigUint64(offset, true))).toBe(data);
    inProcess.set(simulated.subarray(offset, offset + 8), offset);
    expect(inProcess).toEqual(Uint8Array.from(simulated));
    expect(installed).toBe(true);
  });

  it('a synchronisation left out, two stores exchanged or a wider store are noticed', () => {
    const model = explored('int3', 'call', 61);
    const mutants: Protocol[] = [
      { ...int3, steps: int3.steps.toSpliced(2, 1) },
      {
        ...int3,
        steps: [...int3.steps.slice(0, 4), int3.steps[5]!, int3.steps[4]!, int3.steps[6]!],
      },
      {
        ...int3,
        steps: int3.steps.map((step) =>
          step.do === 'store' && step.part === 'rest' ? { ...step, part: 'whole' } : step,
        ),
      },
    ];
    for (const mutant of mutants)
      expect(performed(mutant, model, 61, 'alias').effects).not.toEqual(operations(model, int3));
  });
});

/** The effects of one update by the C engine at its one call site, as test/runtime tells them. */
function performedInC(
  edits: readonly (readonly [string, string])[] = [],
  how: 'order' | 'back' = 'order',
): {
  readonly effects: string[];
  readonly bytes: readonly number[];
} {
  using folder = new Folder();
  const path = byHand(folder, {
    source: program('faults.c'),
    output: 'faults',
    runtime: emitted(edits),
    runtimeFlags: ['-DSTATIC_CALL_SYSTEM=effect'],
  });
  const lines = ran(path, [how]).stdout.trim().split('\n');
  const bytes = lines.pop()!.split(' ').slice(1).map(Number);
  return { effects: lines, bytes };
}

/** The same in the explored model, with the bytes that the program's site gets. */
function exploredInC(bytes: readonly number[]): string[] {
  const model = explored('int3', 'call', 61);
  return operations(model, int3).flatMap((effect) => {
    if ('asked' in effect) return ['asked'];
    if ('sync' in effect) return ['sync'];
    if ('write' in effect) return ['published'];
    const trap = effect.store === 0 && effect.bytes[0] === INT3;
    return effect.bytes.map(
      (_, i) => `store ${effect.store + i} ${trap ? INT3 : bytes[effect.store + i]}`,
    );
  });
}

describe.skipIf(!here || gcc === null)("a program's own runtime", () => {
  it('takes the steps that were explored, in their order', () => {
    const { effects, bytes } = performedInC();
    expect(effects).toEqual(exploredInC(bytes));
  });

  if (LONG)
    it('goes back by the old words first, then by the trap', () => {
      const { effects, bytes } = performedInC([], 'back');
      const stores = (offsets: readonly number[]): string[] =>
        offsets.map((i) => `store ${i} ${bytes[i]}`);
      expect(effects).toEqual([
        'asked',
        'published',
        `store 0 ${INT3}`,
        'sync',
        'refused',
        'taken back',
        ...stores([1, 2, 3, 4]),
        'sync',
        ...stores([0]),
      ]);
    });

  it.for(
    more<[string, readonly [string, string]][]>(
      [
        'with a synchronisation left out',
        [
          'default:\n\t\treturn sc_sync();',
          'default:\n\t\treturn step == &sc_steps[7] ? 0 : sc_sync();',
        ],
      ],
      [
        'that publishes last',
        [
          'for (s = from; s < SC_STEP_COUNT; s++) {',
          'for (s = from + 1; s < SC_STEP_COUNT; s++) {',
        ],
      ],
      [
        'that does not ask for the handler',
        [
          'return sc_handler_now(&action) == 0 && action.handler ==',
          'return (action.handler = (uintptr_t)sc.page) != 0 && action.handler ==',
        ],
      ],
    ),
  )('is noticed %s', ([, edit]) => {
    const { effects, bytes } = performedInC([edit]);
    expect(effects).not.toEqual(exploredInC(bytes));
  });
});
