import { afterAll, describe, it } from 'vitest';
import { Folder } from '../build.js';
import { BUILDS, expectBuilt, MORE_BUILDS } from './builds.js';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

describe('programs in every build, retargeted for two seconds each', () => {
  it.for([...BUILDS, ...MORE_BUILDS])('$name', (build, { skip }) => {
    if (!build.compiler) skip(`without ${build.name.split(' ')[0]}`);
    expectBuilt(folder, build, 2);
  });
});
