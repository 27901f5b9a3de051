import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Folder, gcc } from '../build.js';
import { LONG, more } from '../more.js';
import { compileProgram } from './programs.js';
import { expectSound, soak } from './soaked.js';
import { AUTO, WAYS } from './ways.js';

const folder = new Folder();
let library = '';
beforeAll(() => {
  if (gcc) library = compileProgram(folder, 'soak.c');
});
afterAll(() => folder[Symbol.dispose]());

describe.skipIf(!gcc)(
  'two threads pass call, tail, conditional and cold sites while three keys are retargeted',
  () => {
    it.each([AUTO[0], ...more(...WAYS, AUTO[1])])(
      '$protocol, $writer: no wrong result, every target reached, every byte put back',
      (way) => {
        expectSound(soak(library, way, 1), way.protocol);
      },
    );

    if (LONG)
      it('a timer of JavaScript, workers and the pool of libuv pass them too', () => {
        const got = soak(library, WAYS[0], 1.5, { guests: true });
        expectSound(got, 'int3');
        expect(got.guests.timer).toBeGreaterThan(0);
        expect(got.guests.pool).toBeGreaterThan(0);
        for (const passed of got.guests.workers) expect(passed).toBeGreaterThan(0);
        expect(got.guests.workers).toHaveLength(2);
      });

    it('a child that crashes fails with what it said', () => {
      expect(() => soak(library, WAYS[0], 0.1, { crash: true })).toThrow(
        'the child ended with status null, signal SIGSEGV',
      );
    });
  },
);
