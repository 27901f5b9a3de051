// What CPUs were seen to do though no model allows it: data, so that a new one is not lost among
// them, and what follows from each.

import type { LitmusOutcome } from '../../plan/litmus.js';

export interface Departure {
  /** As /proc/cpuinfo has them. */
  readonly family: string;
  readonly model: string;
  readonly programs: readonly string[];
  readonly outcome: LitmusOutcome;
  readonly seen: string;
  readonly follows: string;
}

export const DEPARTURES: readonly Departure[] = [
  {
    family: '25',
    model: '1',
    programs: ['sm', 'sm-jump'],
    outcome: 'late',
    seen:
      'a call went once more to where its thread had just overwritten that it goes: 22 times in ' +
      '4.4 thousand million rounds of `static-call check --litmus`, with a jump in between too, ' +
      'on two virtual CPUs of an AMD EPYC (stepping 1, microcode 0x1000065). Whether the host ' +
      'has a part in it is not known',
    follows:
      'Intel SDM volume 3, 9.1.3 promises that a store, a jump and the new code are enough. A ' +
      'verdict that rests on `from: "same-address"` with the patcher as the task rests on that ' +
      'promise. No verdict about our own protocols does: they write through an alias and serialise',
  },
];

/** What is known of a CPU for a program. */
export function departuresOf(
  cpu: Pick<Departure, 'family' | 'model'>,
  program: string,
): ReadonlySet<LitmusOutcome> {
  const known = DEPARTURES.filter(
    ({ family, model, programs }) =>
      family === cpu.family && model === cpu.model && programs.includes(program),
  );
  return new Set(known.map(({ outcome }) => outcome));
}
