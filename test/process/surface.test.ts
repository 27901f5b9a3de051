import { copyFileSync, realpathSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Folder, gcc, must } from '../build.js';
import { answer, child } from './child.js';
import { INCLUDE } from './programs.js';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

describe.skipIf(!gcc)('an open program', () => {
  let got: Record<string, any>;
  beforeAll(() => {
    copyFileSync('test/types/filters.c', folder.file('filters.c'));
    must('gcc', [
      '-O2',
      '-shared',
      '-fPIC',
      `-I${INCLUDE}`,
      folder.file('filters.c'),
      '-o',
      folder.file('libfilters.so'),
    ]);
    got = answer(child('surface.mjs', [realpathSync(folder.file('libfilters.so'))]));
  });

  it('names for each key what update accepts, null and ret0 too', () => {
    expect(got['keys']).toEqual([
      {
        name: 'blend',
        target: 'blend_scalar',
        targets: ['blend_avx2', 'blend_scalar', 'ret0'],
        sites: 1,
      },
      { name: 'trace', target: null, targets: ['trace_ring', null], sites: 1 },
    ]);
    expect(got['every']).toEqual([true, true, true, true, true]);
  });

  it('takes an update back, except for keys that were updated since', () => {
    expect(got['before']).toEqual(['ret0', 'trace_ring', 0]);
    expect(got['olderFirst']).toEqual(['ret0', null, 0]);
    expect(got['newerThen']).toEqual(['blend_avx2', null, 30]);
    expect(got['twice']).toEqual(['blend_avx2', null, 30]);
    expect(got['unchanged']).toEqual([[], 1, 0]);
    expect(got['undoneNothing']).toEqual(['blend_scalar', null, 20]);
    expect(got['anotherProgramsUpdateStands']).toEqual(['ret0', null, 0]);
    expect(got['stillOpenForTheFirst']).toEqual(['ret0', null, 0]);
  });

  it('takes what was not declared only as unchecked, and calls a declared function by its name all the same', () => {
    expect(got['uncheckedByName']).toEqual(['blend_avx2', null, 30]);
    expect(got['uncheckedUndeclared']).toEqual(['blend_avx2', 'my_ring', 30]);
    expect(got['uncheckedAddressRefused']).toBe('unknown-target');
  });

  it('tells its sites and finds them as they should be', () => {
    expect(got['sites']).toEqual([4, ['jmp true', 'trampoline false'], true]);
    expect(got['verify']).toEqual([]);
  });

  it('keeps the last thousand updates and no more', () => {
    const [made, kept, last] = got['journal'] as [number, number, string];
    expect(made).toBeLessThan(100);
    expect(kept).toBeGreaterThanOrEqual(500);
    expect(kept).toBeLessThanOrEqual(1000);
    expect(last).toBe('blend_avx2');
  });

  it('that was closed is as it was linked, refuses updates, and can be opened again', () => {
    expect(got['closed']).toEqual(['blend_scalar', null, 20]);
    expect(got['afterwards']).toEqual({
      update: 'closed',
      undo: 'nothing',
      verify: 0,
      sites: 0,
      journal: expect.any(Number) as number,
    });
    expect(got['reopened']).toEqual(['ret0', 0]);
  });
});
