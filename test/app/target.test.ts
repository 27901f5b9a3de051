// What an update may name. null and 'ret0' are targets that the program declares, as functions are.

import { describe, expect, it } from 'vitest';
import { Targets } from '#app/target';
import { isFault } from '#base/fault';
import type { KeyDef } from '#keys/key';
import type { Loaded } from '#machine/process/loaded';
import type { Native } from '#machine/linux/native';

const key = (some: Partial<KeyDef>): KeyDef => ({
  name: 'alloc',
  address: 0x1000,
  trampoline: 0x2000,
  returns: null,
  initial: null,
  targets: [],
  mayBeNull: false,
  mayReturn0: false,
  sites: [],
  ...some,
});
// Neither null nor 'ret0' is looked for in the process.
const targets = new Targets({} as Native, {} as Loaded);
function refused(
  def: KeyDef,
  wanted: unknown,
): readonly [code: string, said: string, hint: string] {
  try {
    targets.resolve(def, wanted);
  } catch (error) {
    if (!isFault(error)) throw error;
    return [error.code, error.message, error.hint];
  }
  throw new Error('it was accepted');
}

describe('a target', () => {
  it('that the C side did not declare is refused, with the macro that declares it', () => {
    expect(refused(key({ returns: 'integer' }), 'ret0')).toEqual([
      'ret0-refused',
      'ret0 is not declared for alloc',
      'where the key may return 0, write STATIC_CALL_TARGET_RET0(alloc) in C, and build again',
    ]);
    expect(refused(key({ returns: 'void' }), null)).toEqual([
      'null-refused',
      'null is not declared for alloc',
      'where the key may be empty, write STATIC_CALL_TARGET_NULL(alloc) in C, and build again',
    ]);
  });
  it('that the type forbids is refused, and no macro is named that would not compile', () => {
    expect(refused(key({ returns: 'other' }), 'ret0')[1]).toMatch(/no integer or pointer/);
    expect(refused(key({ returns: 'void' }), 'ret0')[1]).toBe('alloc returns nothing');
    expect(refused(key({ returns: 'integer' }), null)[1]).toMatch(/returns a value/);
    expect(refused(key({}), null)[1]).toMatch(/has no record of what it returns/);
    for (const [def, wanted] of [
      [key({ returns: 'other' }), 'ret0'],
      [key({ returns: 'integer' }), null],
    ] as const)
      expect(refused(def, wanted)[2]).not.toContain('STATIC_CALL_TARGET');
  });
  it('that it declared is taken, also where C did not show the type', () => {
    expect(targets.resolve(key({ mayBeNull: true }), null)).toEqual({ kind: 'null', address: 0 });
    expect(targets.resolve(key({ mayReturn0: true }), 'ret0')).toEqual({
      kind: 'ret0',
      address: 0,
    });
  });
});
