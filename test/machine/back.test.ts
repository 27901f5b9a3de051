import { expect, it } from 'vitest';
import { Stopped, type Machine } from '#machine/machine';
import { transact, Unfinished } from '#machine/transact';
import { Batch } from '#plan/batch';
import type { Protocol, Step } from '#plan/protocol';
import { int3 } from '#plan/protocols/int3';
import { store } from '#plan/protocols/store';

/** The steps of the way back from a step that failed, with one site that is not as it was. */
function back(protocol: Protocol, failed: number): string[] {
  const batch = new Batch(1);
  batch.count = 1;
  batch.at[0] = 0x1000;
  batch.length[0] = 5;
  const ran: Step[] = [];
  const machine: Machine = {
    begin() {
      throw new Stopped(failed, new Error('refused'));
    },
    run: (steps) => void ran.push(...steps),
    unlike: (_, side) => (side === 'ours' ? new Batch(0) : batch),
  };
  expect(() => transact(protocol, batch, [], machine)).toThrow(Unfinished);
  return ran.map((step) => (step.do === 'store' ? `${step.part} ${step.bytes}` : step.do));
}

it('the way back behind a trap: the old rest, a synchronisation, the old first byte', () => {
  const rest = int3.steps.findIndex((s) => s.do === 'store' && s.part === 'rest');
  expect(back(int3, rest)).toEqual(['publish', 'rest old', 'sync', 'first old']);
});
it('before the rest was begun only first bytes go back, and no synchronisation is owed', () => {
  const trap = int3.steps.findIndex((s) => s.do === 'store' && s.part === 'first');
  expect(back(int3, trap)).toEqual(['publish', 'first old']);
});
it('the way back by one store: that store, and a synchronisation', () => {
  const only = store.steps.findIndex((s) => s.do === 'store');
  expect(back(store, only).slice(-1)).toEqual(['sync']);
  expect(back(store, only)).toHaveLength(3);
});
