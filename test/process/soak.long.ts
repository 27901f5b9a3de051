import { afterAll, describe, it } from 'vitest';
import { Folder, gcc } from '../build.js';
import { compileProgram } from './programs.js';
import { expectSound, soak } from './soaked.js';
import { AUTO, WAYS } from './ways.js';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

describe.skipIf(!gcc)(
  'two threads pass call, tail, conditional and cold sites while three keys are retargeted',
  () => {
    it.each([...WAYS, ...AUTO])('$protocol, $writer, for twenty seconds', (way) => {
      expectSound(soak(compileProgram(folder, 'soak.c'), way, 20), way.protocol);
    });
  },
);
