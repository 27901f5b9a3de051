import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decode, decoder } from '#asm/decode';
import { candidates, encodeForm } from '#asm/encode';
import { FORMS } from '#asm/encoding';
import { insnOf } from './operands.js';

const RUNS = 12;

test.each(FORMS.map((form) => [`${form.name} ${form.pattern}`, form] as const))(
  'what is encoded is decoded: %s',
  (_, form) => {
    fc.assert(
      fc.property(insnOf(form), ({ operands, lock }) => {
        const bytes = encodeForm(form, operands, lock);
        const insn = decode(bytes);
        if (typeof insn === 'string')
          throw new Error(`${insn}: ${Buffer.from(bytes).toString('hex')}`);
        expect(insn.form.name).toBe(form.name);
        expect(insn.form.pattern).toBe(form.pattern);
        expect(insn.operands).toEqual(operands);
        expect(insn.lock).toBe(lock);
        expect(insn.length).toBe(bytes.length);
        expect(candidates(form.name, operands)).toContain(form);
        // A CPU that has fetched only a part asks for more, and never takes the part for another
        // instruction.
        for (let n = 0; n < bytes.length; n++) expect(decode(bytes.slice(0, n))).toBe('short');
      }),
      { numRuns: RUNS },
    );
  },
);

test('any bytes decode to something that encodes to the same length, or to nothing', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 15, maxLength: 15 }), (bytes) => {
      const insn = decode(bytes);
      if (typeof insn === 'string') return;
      const again = decode(encodeForm(insn.form, insn.operands, insn.lock, insn.pad));
      // SIB bytes that name no index, and repeated prefixes, have a shorter spelling.
      if (typeof again === 'string') throw new Error(`${again} after encoding`);
      expect(again.length).toBeLessThanOrEqual(insn.length);
      expect({ ...again, length: 0 }).toEqual({ ...insn, length: 0 });
    }),
    { numRuns: 4_000 },
  );
});

test('without a row, its instructions are unknown', () => {
  const rows = new Set(FORMS.map(({ row }) => row));
  for (const row of rows) {
    const without = decoder(FORMS.filter((form) => form.row !== row));
    const noticed = FORMS.filter((form) => form.row === row).some((form) => {
      const [sample] = fc.sample(insnOf(form), { numRuns: 1, seed: 1 });
      const insn = without(encodeForm(form, sample!.operands, sample!.lock));
      return (
        typeof insn === 'string' ||
        insn.form.pattern !== form.pattern ||
        insn.form.name !== form.name
      );
    });
    expect(noticed, `row ${row}`).toBe(true);
  }
});
