// Every property can fail: for each a protocol or a mutant that breaks it, beside a near neighbour that does not.
import { describe, expect, it } from 'vitest';
import { configure, type Configuration } from '#check/configuration';
import { PROPERTY_NAMES, type PropertyName } from '#check/properties';
import { run } from '#check/run';
import { SUBJECTS, type Subject } from '#check/subject';
import type { Instruction, Item } from '#trap/assembler';

const limits = { states: 3_000_000, seconds: 60 };

function subject(title: string, environment: 'kernel' | 'user' = 'kernel'): Subject {
  const [name, variant = ''] = title.split('/');
  const found = SUBJECTS.find((each) => each.name === name && each.variant === variant && each.environment === environment);
  if (found === undefined) throw new Error(`no subject ${title}`);
  return found;
}

/** A handler that does one thing more before it returns. */
function also(of: Subject, what: Instruction): Subject {
  return {
    ...of,
    handler: (entry) => {
      const handler = of.handler!(entry);
      const isIret = (item: Item) => Array.isArray(item) && item[0] === 'iretq';
      return { ...handler, program: handler.program.flatMap((item) => (isIret(item) ? [what, item] : [item])) };
    },
  };
}

type Case = readonly [property: PropertyName, fails: readonly [Subject, Partial<Configuration>], holds: readonly [Subject, Partial<Configuration>]];

const gap = subject('int3-gap');
const NMI = { contexts: ['task', 'nmi'], passes: 1, updates: 1 } as const satisfies Partial<Configuration>;
const CASES: readonly Case[] = [
  ['torn', [subject('naive'), {}], [gap, {}]],
  ['torn', [gap, { dropSync: 2 }], [gap, { dropSync: 2, fetch: 'F0' }]],
  ['torn', [subject('int3-gap/no-lock'), { contexts: ['task'], passes: 1 }], [subject('int3-gap/two-updaters'), { contexts: ['task'], passes: 1 }]],
  ['target', [subject('int3-skip'), {}], [gap, {}]],
  ['after-update', [subject('stop-machine/plain'), { chunk: 'line' }], [subject('stop-machine'), { chunk: 'line' }]],
  ['after-update-strict', [subject('int3', 'user'), { updates: 2 }], [subject('int3', 'user'), { updates: 1 }]],
  ['stack', [subject('int3-gap/no-gap'), {}], [gap, {}]],
  ['stack', [subject('int3-percpu'), {}], [subject('int3-percpu/fixed'), {}]],
  ['flags', [also(gap, ['xor', 'r10d', 'r10d']), {}], [also(gap, ['xor', 'r11d', 'r11d']), {}]],
  ['slot', [subject('int3-percpu/fixed'), NMI], [subject('int3-percpu-nmi'), NMI]],
  ['slot', [subject('int3-percpu/if-kept'), { contexts: ['task', 'irq'] }], [subject('int3-percpu/fixed'), { contexts: ['task', 'irq'] }]],
  ['lockdep', [subject('int3-percpu/fixed'), { entry: '2019' }], [subject('int3-percpu/fixed'), { entry: 'today' }]],
  ['lockdep', [subject('int3-percpu-nmi/handler'), { entry: '2019' }], [subject('int3-percpu-nmi/trampoline'), { entry: '2019' }]],
  ['shadow-stack', [subject('int3-shift'), { shadowStack: true }], [subject('int3-shift/shadow'), { shadowStack: true }]],
  ['shadow-stack', [subject('int3', 'user'), { shadowStack: true }], [subject('int3/shadow', 'user'), { shadowStack: true }]],
  ['deadlock', [subject('int3-gap/spin'), {}], [gap, {}]],
  ['indirect-branch', [subject('pointer'), {}], [subject('pointer/retpoline'), {}]],
  ['indirect-branch-strict', [gap, {}], [subject('stop-machine'), {}]],
  ['stray-trap', [gap, { dropSync: 3 }], [subject('int3-gap/permanent'), { dropSync: 3 }]],
  ['stray-trap', [subject('int3-retire/reread', 'user'), { updates: 2 }], [subject('int3-retire/versioned', 'user'), { updates: 2 }]],
  ['stray-trap', [subject('int3-retire/version-first', 'user'), {}], [subject('int3-retire/versioned', 'user'), {}]],
  ['stray-trap', [subject('int3/unsorted', 'user'), { updates: 1 }], [subject('int3/two-sites', 'user'), { updates: 1 }]],
  ['slot', [subject('int3-percpu/if-kept'), { contexts: ['task', 'preempt'], cpus: 2, tasks: 3, passes: 1, updates: 1 }], [subject('int3-percpu/fixed'), { contexts: ['task', 'preempt'], cpus: 1, tasks: 2, passes: 1, updates: 1 }]],
  ['unwind', [subject('int3-stub'), {}], [gap, {}]],
];

const verdict = (property: PropertyName, [of, given]: readonly [Subject, Partial<Configuration>]) => run(of, configure({ ...given, environment: of.environment }), limits).properties.get(property)?.verdict;
const said = ([of, given]: readonly [Subject, Partial<Configuration>]) => `${of.name}${of.variant === '' ? '' : `/${of.variant}`} ${JSON.stringify(given)}`;

describe('every property', () => {
  it('has a case here', () => {
    expect([...new Set(CASES.map(([property]) => property))].sort()).toEqual([...PROPERTY_NAMES].sort());
  });
  for (const [property, fails, holds] of CASES) {
    it(`${property} tells ${said(fails)} from ${said(holds)}`, () => {
      expect(verdict(property, fails)).toBe('fails');
      expect(verdict(property, holds)).toBe('holds');
    });
  }
});
