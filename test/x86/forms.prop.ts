import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isFault } from '#base/fault';
import { decode } from '#x86/decode';
import {
  branchOpcode,
  branchOpcodeBefore,
  compiledForm,
  conditionOf,
  destination,
  DISPLACEMENT,
  emit,
  recognise,
  recogniseTrampoline,
  SITE_FORMS,
  TRAMPOLINE_FORMS,
  type Form,
} from '#x86/forms';

const siteForms = Object.values(SITE_FORMS);
const trampolineForms = Object.values(TRAMPOLINE_FORMS);

/** Addresses of both halves: programs and kernels. */
const address = fc.oneof(
  fc.integer({ min: 0x1000, max: 0x7fff_0000_0000 }),
  fc.integer({ min: -0x7fff_0000, max: -0x1000 }),
);
const distance = fc.integer({ min: -0x7fff_ff00, max: 0x7fff_ff00 });
const placement = fc.record({ at: address, distance, condition: fc.nat(15) });

function roundTrip(
  form: Form,
  read: (
    bytes: Uint8Array,
    at: number,
  ) => { form: Form; target: number | null; condition: number } | null,
): void {
  fc.assert(
    fc.property(placement, ({ at, distance, condition }) => {
      const target = at + distance;
      const found = read(emit(form, { at, target, condition }), at)!;
      expect(found.form).toBe(form);
      expect(found.target).toBe(form.displacement < 0 ? null : target);
      expect(found.condition).toBe(form.condition < 0 ? 0 : condition);
    }),
  );
}

describe('reading what was written gives back the form, the target and the condition', () => {
  test.each(siteForms)('of a site: $name', (form) => roundTrip(form, recognise));
  test.each(trampolineForms)('of a trampoline: $name', (form) =>
    roundTrip(form, recogniseTrampoline),
  );
});

describe('a form is what the processor decodes', () => {
  const effects: Record<string, string> = {
    call: 'call',
    jmp: 'jmp',
    jcc: 'jcc',
    nop: 'next',
    ret0: 'next',
    ret: 'ret',
  };
  test.each(siteForms)('$name is one instruction of its length', (form) => {
    fc.assert(
      fc.property(placement, ({ at, distance, condition }) => {
        const decoded = decode(emit(form, { at, target: at + distance, condition }), at);
        expect(decoded.flow).toBe(effects[form.effect]! + (form.indirect ? '-indirect' : ''));
        // Behind a return there is no next instruction that a thread could come back to.
        const opcode = form.keeps ? form.length - DISPLACEMENT : 1;
        expect(decoded.length).toBe(form.effect === 'ret' ? opcode : form.length);
        if (form.displacement >= 0)
          expect(form.indirect ? decoded.slot : decoded.target).toBe(at + distance);
      }),
      { numRuns: 30 },
    );
  });
  test('the check notices the two-instruction "return 0" that once broke i386', () => {
    expect(decode(Uint8Array.of(0x66, 0x66, 0x48, 0x31, 0xc0)).length).toBe(5);
    expect(decode(Uint8Array.of(0x90, 0x90, 0x90, 0x31, 0xc0)).length).not.toBe(5);
  });
});

test('no form can be taken for another: changing any fixed byte makes it unknown or a different one', () => {
  for (const form of siteForms) {
    for (let i = 0; i < form.length; i++) {
      if (form.mask[i] === 0) continue;
      const bytes = Uint8Array.from(form.bytes);
      bytes[i]! ^= 0xff;
      expect(recognise(bytes, 0)?.form).not.toBe(form);
    }
  }
});

test('of all forms, exactly those that compilers emit are found by opcode alone', () => {
  for (const form of siteForms) {
    const bytes = emit(form, { at: 0, target: 64, condition: 5 });
    const found = compiledForm(bytes, 0);
    expect(found).toBe(form.compiled ? form : null);
    if (!found) continue;
    expect(destination(found, bytes, 0, 0)).toBe(64);
    expect(conditionOf(found, bytes, 0)).toBe(found.condition < 0 ? 0 : 5);
  }
  expect(compiledForm(Uint8Array.of(0xe8, 0, 0), 0)).toBeNull();
  expect(compiledForm(Uint8Array.of(0xe8, 0, 0, 0, 0), 7)).toBeNull();
});

test('a target beyond 32 bits is refused', () => {
  try {
    emit(SITE_FORMS.call, { at: 0, target: 0x8000_0005 });
    expect.unreachable();
  } catch (error) {
    expect(isFault(error) && error.code).toBe('out-of-reach');
  }
  expect(emit(SITE_FORMS.call, { at: 0, target: 0x8000_0004 })).toEqual(
    Uint8Array.of(0xe8, 0xff, 0xff, 0xff, 0x7f),
  );
});

describe('a search of bytes finds every form that a compiler makes, once and where its displacement is', () => {
  test.each(siteForms.filter((form) => form.compiled))('$name', (form) => {
    fc.assert(
      fc.property(placement, ({ at, distance, condition }) => {
        const target = at + distance;
        const bytes = emit(form, { at, target, condition });
        const found = [...bytes.keys()].slice(0, form.displacement).flatMap((i) => {
          const opcode = branchOpcode(bytes, i);
          return opcode === null ? [] : [{ i, opcode }];
        });
        expect(found.length).toBe(1);
        const { i, opcode } = found[0]!;
        expect(i + opcode.displacement).toBe(form.displacement);
        expect(opcode.indirect).toBe(form.indirect);
        expect(opcode.effect).toBe(form.effect);
        expect(destination(opcode, bytes, i, at + i)).toBe(target);
        expect(branchOpcodeBefore(bytes, form.displacement)).toBe(opcode);
        expect(branchOpcode(bytes.subarray(0, -1), i)).toBe(null);
      }),
    );
  });
});
