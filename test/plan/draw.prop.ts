import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Batch } from '#plan/batch';
import { accepts, acceptsChange, draw, KINDS, SiteColumns, type Destination } from '#plan/draw';
import { int3 } from '#plan/protocols/int3';
import { store } from '#plan/protocols/store';
import { TRANSFORM, type TargetKind } from '#plan/transform';
import { DISPLACEMENT, emit, recognise, SITE_FORMS, type SiteForm } from '#x86/forms';

const TEXT = 0x40_0000;
const TRAMPOLINE = TEXT + 0x8000;
const BACK: Destination = {
  kind: 'function',
  target: 0,
  way: 0,
  return0: TEXT + 0x9000,
  return: TEXT + 0x9010,
};

/** What a compiler leaves at a site of this kind and length. */
const COMPILED: Readonly<Record<string, SiteForm>> = {
  'call 5': SITE_FORMS.call,
  'call 6': SITE_FORMS['addr32-call'],
  'jmp 5': SITE_FORMS.jmp,
  'jmp 6': SITE_FORMS['cs-jmp'],
  'jcc 6': SITE_FORMS.jcc,
};

const site = fc.record({
  gap: fc.integer({ min: 0, max: 70 }),
  form: fc.constantFrom(...Object.keys(COMPILED)),
  condition: fc.integer({ min: 0, max: 15 }),
});
const destination: fc.Arbitrary<Destination> = fc
  .record({
    kind: fc.constantFrom<TargetKind>('function', 'null', 'ret0'),
    target: fc.integer({ min: TEXT - 2 ** 30, max: TEXT + 2 ** 30 }),
    far: fc.boolean(),
  })
  .map(({ kind, target, far }) => ({
    ...BACK,
    kind,
    target: far ? target + 2 ** 40 : target,
    way: far ? TEXT + 0x9020 : target,
  }));

function columnsOf(
  sites: readonly { gap: number; form: string; condition: number }[],
): SiteColumns {
  const columns = new SiteColumns(sites.length + 1, sites.length);
  const put = (
    i: number,
    at: number,
    kind: string,
    form: SiteForm,
    condition: number,
    target: number,
  ): void => {
    columns.batch.at[i] = at;
    columns.batch.length[i] = form.length;
    columns.kind[i] = KINDS.indexOf(kind as (typeof KINDS)[number]);
    columns.condition[i] = condition;
    const bytes = emit(form, { at, target, condition });
    columns.original.set(bytes, 8 * i);
    columns.batch.old.set(bytes, 8 * i);
  };
  let at = TEXT;
  sites.forEach(({ gap, form, condition }, i) => {
    at += gap;
    put(
      i,
      at,
      form.split(' ')[0]!,
      COMPILED[form]!,
      form.startsWith('jcc') ? condition : 0,
      TRAMPOLINE,
    );
    at += COMPILED[form]!.length;
  });
  put(sites.length, TRAMPOLINE, 'jmp', SITE_FORMS.jmp, 0, TEXT + 0x8100);
  return columns;
}

/** As a machine that never fails performs a drawn batch, and as the engine mirrors it. */
function perform(columns: SiteColumns, batch: Batch): void {
  for (let i = 0; i < batch.count; i++) {
    const k = columns.batch.at.indexOf(batch.at[i]!);
    expect(columns.batch.old.subarray(8 * k, 8 * k + batch.length[i]!)).toEqual(
      batch.old.slice(8 * i, 8 * i + batch.length[i]!),
    );
  }
  columns.batch.old.set(columns.batch.new);
}

describe('whether a protocol takes a site', () => {
  it('is said of the place as of a batch whose last bytes change', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 127 }),
        fc.constantFrom(5, 6),
        fc.integer({ min: 1, max: 6 }),
        fc.constantFrom('changed' as const, 'whole' as const),
        fc.constantFrom(
          'line' as const,
          'fetch32' as const,
          'fetch16' as const,
          'qword' as const,
          null,
        ),
        (at, length, changed, bytes, within) => {
          const probe = new Batch(1);
          probe.count = 1;
          [probe.at[0], probe.length[0]] = [TEXT + at, length];
          probe.new.fill(1, length - Math.min(changed, length), length);
          expect(
            acceptsChange(
              { bytes, within },
              TEXT + at,
              length,
              length - Math.min(changed, length),
              length,
            ),
          ).toBe(accepts({ bytes, within }, probe, 0));
        },
      ),
    );
  });

  it('is for a site of six bytes another question than for one of five: the last may end a line later', () => {
    const asked = (at: number, length: number): boolean =>
      acceptsChange(store.accepts, TEXT + at, length, length - DISPLACEMENT, length);
    expect([58, 59, 60].map((at) => [asked(at, 5), asked(at, 6)])).toEqual([
      [true, true],
      [true, false],
      [false, false],
    ]);
  });
});

describe('a drawn update', () => {
  it('puts at each site what the table of form by kind and target says, going where calls shall go', () => {
    fc.assert(
      fc.property(fc.array(site, { minLength: 1, maxLength: 40 }), destination, (sites, to) => {
        const columns = columnsOf(sites);
        perform(columns, draw(columns, to, int3.accepts).batch);
        for (let i = 0; i < columns.batch.count; i++) {
          const length = columns.batch.length[i]!;
          const kind = KINDS[columns.kind[i]!]!;
          const row = TRANSFORM[kind][to.kind];
          const found = recognise(
            columns.batch.old.subarray(8 * i, 8 * i + length),
            columns.batch.at[i]!,
          );
          expect(found?.form.name).toBe(row.forms[length === 6 ? 6 : 5]);
          if (row.to !== null)
            expect(found?.target).toBe(row.to === 'target' ? to.way : to[row.to]);
          if (kind === 'jcc') expect(found?.condition).toBe(columns.condition[i]);
        }
      }),
    );
  });

  it('drawn a second time changes nothing, and drawn back restores every byte', () => {
    fc.assert(
      fc.property(
        fc.array(site, { minLength: 1, maxLength: 40 }),
        fc.array(destination, { minLength: 1, maxLength: 6 }),
        fc.constantFrom(int3, store),
        (sites, steps, protocol) => {
          const columns = columnsOf(sites);
          for (const to of steps) {
            const before = columns.batch.old.slice();
            let drawn;
            try {
              drawn = draw(columns, to, protocol.accepts);
            } catch {
              // The store protocol may refuse a site that stands on an instruction from which no
              // single store leads.
              expect(protocol).toBe(store);
              expect(columns.batch.old).toEqual(before);
              continue;
            }
            perform(columns, drawn.batch);
            expect(draw(columns, to, protocol.accepts).batch.count).toBe(0);
          }
          perform(columns, draw(columns, null, int3.accepts).batch);
          expect(columns.batch.old).toEqual(columns.original);
          expect(draw(columns, null, int3.accepts).batch.count).toBe(0);
        },
      ),
    );
  });

  it('under `store` holds only edits that one store inside one quadword can make', () => {
    fc.assert(
      fc.property(fc.array(site, { minLength: 1, maxLength: 40 }), destination, (sites, to) => {
        const columns = columnsOf(sites);
        const { batch, inline, trampoline } = draw(columns, to, store.accepts);
        expect(inline + trampoline).toBe(sites.length);
        for (let i = 0; i < batch.count; i++) {
          const changed = [...Array(batch.length[i]!).keys()].filter(
            (b) => batch.old[8 * i + b] !== batch.new[8 * i + b],
          );
          const [first, last] = [changed[0]!, changed.at(-1)!];
          const inDisplacement = first >= 1 && last <= 4;
          const [from, end] = inDisplacement
            ? [batch.at[i]! + first, batch.at[i]! + last]
            : [batch.at[i]!, batch.at[i]! + batch.length[i]! - 1];
          expect(Math.floor(from / 8)).toBe(Math.floor(end / 8));
          expect(accepts(store.accepts, batch, i)).toBe(true);
        }
      }),
    );
  });
});
