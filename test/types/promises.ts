// A misspelt promise is an error where a violation is named, raised, labelled or looked up. Each of
// these once compiled, and the checker then answered "holds".

import type { PropertyName } from '#check/properties';
import type { Run } from '#check/search/run';
import { Crash, type Interrupted } from '#machine/sim/context';
import { bad, type Bad, type PromiseName } from '#machine/sim/promises';

// What the table of breaches says of each: the misspellings that once went through unseen.
export const broken: Record<string, PromiseName> = {
  'mixture-executed': 'torn',
  // @ts-expect-error no such promise
  'mixture-fetched': 'tron',
  // @ts-expect-error no such promise
  'interrupt-ends-in-pass': 'targte',
  // @ts-expect-error no such promise
  'target-second': 'traget',
  // @ts-expect-error no such promise
  'chain-endless': 'unwnid',
  // @ts-expect-error no such promise
  'callee-saved': 'falgs',
  // @ts-expect-error only a finished search can tell, and no step of the machine
  standstill: 'deadlock',
};

export function raise(core: Interrupted): void {
  core.fault('interrupt-ends-in-pass', 'the interrupt returned in the middle of its pass');
  // @ts-expect-error no such breach
  core.fault('interupt-ends-in-pass', 'the interrupt returned in the middle of its pass');
  // @ts-expect-error the breach is named, and not the promise
  core.fault('target', 'the interrupt returned in the middle of its pass');
  // @ts-expect-error no such breach
  bad('callee-savde', 'callee-saved register 3 was changed');
  // @ts-expect-error no such breach
  throw new Crash('stakc', 'a load from 0, where nothing lies');
}

// @ts-expect-error no such promise
export const found: Bad = { breach: 'callee-saved', property: 'falgs', text: '' };

// @ts-expect-error a label that is missing
export const some: Record<PropertyName, string> = { torn: '', deadlock: '', livelock: '' };

export const looked = ({ properties }: Run): unknown => [
  properties.get('torn'),
  // @ts-expect-error no such property
  properties.get('tron'),
];
