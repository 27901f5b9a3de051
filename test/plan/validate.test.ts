import { auto } from '#plan/protocols/auto';
import { int3 } from '#plan/protocols/int3';
import { naive } from '#plan/protocols/naive';
import { store } from '#plan/protocols/store';
import { validateProtocol } from '#plan/validate';
import { describe, expect, it } from 'vitest';

/** A copy of int3 with one field replaced: `steps.1.part`. */
function changed(path: string, value: unknown): unknown {
  const copy = structuredClone(int3) as unknown as Record<string, unknown>;
  const names = path.split('.');
  let at = copy;
  for (const name of names.slice(0, -1)) at = at[name] as Record<string, unknown>;
  at[names.at(-1)!] = value;
  return copy;
}

const fault = (value: unknown): { code: string; at: string; message: string; hint: string } => {
  try {
    validateProtocol(value);
  } catch (error) {
    return error as never;
  }
  return { code: 'none', at: '', message: '', hint: '' };
};

describe('a protocol that is handed in', () => {
  it('is taken as it is when it fits', () => {
    for (const protocol of [int3, store, naive]) expect(validateProtocol(protocol)).toBe(protocol);
  });

  it.each([
    ['name', '', 'name'],
    ['accepts', null, 'accepts'],
    ['accepts.within', 'page', 'accepts.within'],
    ['handler', undefined, 'handler'],
    ['steps', [], 'steps'],
    ['steps.1.do', 'stroe', 'steps[1].do'],
    ['steps.1.part', 'second', 'steps[1].part'],
    ['steps.1.as', 2, 'steps[1].as'],
    ['steps.2.why', '', 'steps[2].why'],
    ['steps.2.wyh', 'because', 'steps[2].wyh'],
    ['run', () => 0, 'run'],
  ])('is refused with the field named: %s', (path, value, at) => {
    expect(fault(changed(path, value))).toMatchObject({ code: 'bad-protocol', at });
  });

  it.each([
    [{ do: 'retry', to: 1, word: 'state', is: 1, times: 1 }, 'steps[0].to'],
    [{ do: 'retry', to: 0, word: 'state', is: 1, times: 1 }, 'steps[0].to'],
    [{ do: 'retry', to: 0, word: 'state', is: 1, times: 16 }, 'steps[0].times'],
    [{ do: 'count', word: 'refs', by: 2 }, 'steps[0].by'],
    [{ do: 'await', word: '', is: 0 }, 'steps[0].word'],
    [{ do: 'exchange', word: 'state', from: -1, to: 0 }, 'steps[0].from'],
  ])('is refused where a step asks for what cannot be: %j', (step, at) => {
    expect(fault({ ...int3, steps: [{ ...step, why: 'to see' }, ...int3.steps] })).toMatchObject({
      code: 'bad-protocol',
      at,
    });
  });

  it('is told the nearest word for a misspelt one', () => {
    expect(fault(changed('steps.1.do', 'stroe')).hint).toBe('did you mean store?');
    expect(fault(changed('steps.2.wyh', 'because')).hint).toBe('did you mean why?');
  });

  it('is told the new name of a step that was renamed', () => {
    for (const [old, now] of [
      ['plant', 'store-head'],
      ['behind', 'store-tail'],
      ['unplant', 'restore-head'],
    ])
      expect(fault(changed('steps.1.do', old)).hint).toBe(`${old} is ${now} now`);
  });

  it('is refused where its sites have ways and not every site is accepted', () => {
    const accepts = { bytes: 'changed', within: 'qword' };
    expect(validateProtocol(auto)).toBe(auto);
    expect(fault({ ...auto, accepts })).toMatchObject({
      code: 'bad-protocol',
      at: 'accepts.within',
    });
  });

  it('is refused where a head is longer than the shortest site', () => {
    const headed = (bytes: number) => ({
      ...int3,
      steps: [{ do: 'store-head', bytes: Array<number>(bytes).fill(0x90), why: 'to see' }],
    });
    expect(validateProtocol(headed(5))).toBeTruthy();
    expect(fault(headed(6))).toMatchObject({ at: 'steps[0].bytes' });
  });

  it.each([null, 7, 'int3', [int3]])('is refused when it is no object: %j', (value) => {
    expect(fault(value)).toMatchObject({ code: 'bad-protocol' });
  });
});
