// A misspelt property is an error where a violation is raised, labelled or looked up. Each of these
// once compiled, and the checker then answered "holds".

import type { PropertyName } from '#check/properties';
import type { Run } from '#check/search/run';
import { Crash, type Bad, type Interrupted } from '#machine/sim/context';
import { endsPath } from '#machine/sim/promises';

export function raise(core: Interrupted): void {
  core.fault('torn', 'a mixture is executed');
  // @ts-expect-error no such promise
  core.fault('tron', 'a mixture is executed');
  // @ts-expect-error no such promise
  core.fault('targte', 'the interrupt returned in the middle of its pass');
  // @ts-expect-error no such promise
  core.fault('traget', 'one pass enters a second target');
  // @ts-expect-error no such promise
  core.fault('unwnid', 'the chain of calls does not end');
  // @ts-expect-error no such promise
  core.fault('falgs', 'callee-saved register 3 was changed');
  // @ts-expect-error only a finished search can tell, and no step of the machine
  core.fault('deadlock', '');
  // @ts-expect-error no such promise
  throw new Crash('stakc', 'a load from 0, where nothing lies');
}

// @ts-expect-error no such promise
export const bad: Bad = { property: 'tron', text: '' };
// @ts-expect-error no such promise
endsPath('lockdpe');

// @ts-expect-error a label that is missing
export const some: Record<PropertyName, string> = { torn: '', deadlock: '', livelock: '' };

export const looked = ({ properties }: Run): unknown => [
  properties.get('torn'),
  // @ts-expect-error no such property
  properties.get('tron'),
];
