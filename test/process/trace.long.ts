import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Folder, gcc, must } from '../build.js';
import { answer, child } from './child.js';
import { INCLUDE } from './programs.js';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());
const linux = process.platform === 'linux' && process.arch === 'x64';

describe.skipIf(!gcc || !linux)('the calls of a key that is traced', () => {
  let got: Record<string, any>;
  beforeAll(() => {
    const library = folder.file('libtrace.so');
    const source = 'test/process/programs/trace.c';
    const flags = ['-O2', '-Wall', '-shared', '-fPIC', '-pthread', `-I${INCLUDE}`];
    must('gcc', [...flags, source, '-o', library]);
    got = answer(child('trace.mjs', [library], { timeoutMs: 300_000 }));
  });

  it('are as many as the program itself has counted, when its threads have ended', () => {
    expect(got['counted told']).toEqual([60_000, 60_000, 60_000, 60_000]);
    expect(got['own told']).toBe(240_000);
    expect(got['timed told']).toBe(true);
  });
  it('are counted of an empty key too, which calls nothing', () => {
    expect(got['counted null']).toEqual([60_000, 60_000, 60_000, 60_000]);
    expect(got['own null']).toBe(180_000);
  });
  it('find their arguments in registers, vector registers and on the stack, and their results', () => {
    expect(got['wrong']).toBe(0);
  });
  it('are told with the target that they go on to', () => {
    expect(got['during told']).toEqual([
      'wide (counted)',
      'vary (counted)',
      'told (counted)',
      'one (counted)',
    ]);
  });
  it('are no more counted afterwards', () => {
    expect(got['after told']).toEqual([
      [60_000, 'wide', false],
      [60_000, 'vary', false],
      [60_000, 'told', false],
      [60_000, 'one', false],
    ]);
    expect(got['after null'][2]).toEqual([60_000, null, false]);
  });
  it('lie between what threads that run had counted in the trace and around it', () => {
    expect(got['bounds']).toEqual(Array.from({ length: 20 }, () => 'within'));
  });
  it('leave nothing behind: targets, sites and what C reads are as before, and a trace more has no counter more', () => {
    expect(got['targets']).toEqual(['wide', 'vary', 'told', 'one']);
    expect([got['sites'], got['verify'], got['null'], got['counters']]).toEqual([true, [], 1, 1]);
  });
  it('do not keep an update that was made before from being undone', () => {
    expect(got['undone']).toEqual([1, 'one', 2]);
  });
  it('are counted until the key is updated, and the newer target stays', () => {
    expect(got['replaced']).toEqual([1, true, 'ret0', 0]);
    expect(got['ret0']).toEqual([0, 1, 'ret0']);
    expect(got['staysEmpty']).toBe('ret0');
  });
  it('are not counted twice at a time, nor of a static key, an unknown key or a closed program', () => {
    expect(got['twice']).toBe('busy');
    expect(got['static']).toBe('not-supported');
    expect(got['unknown']).toBe('unknown-key');
    expect(got['closed']).toEqual(['closed', 2, true]);
  });
});
