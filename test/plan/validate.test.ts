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

  it('is told the nearest word for a misspelt one', () => {
    expect(fault(changed('steps.1.do', 'stroe')).hint).toBe('did you mean store?');
    expect(fault(changed('steps.2.wyh', 'because')).hint).toBe('did you mean why?');
  });

  it.each([null, 7, 'int3', [int3]])('is refused when it is no object: %j', (value) => {
    expect(fault(value)).toMatchObject({ code: 'bad-protocol' });
  });
});
