import { expect, it } from 'vitest';
import { Stopped, type Machine } from '#machine/machine';
import { transact, Unfinished } from '#machine/transact';
import { Batch, KeyChanges } from '#plan/batch';
import type { Protocol, Step } from '#plan/protocol';
import { narrowed } from '#plan/protocol';
import { auto } from '#plan/protocols/auto';
import { int3 } from '#plan/protocols/int3';
import { store } from '#plan/protocols/store';
import { WAY, WAYS, waysOf, type Way } from '#plan/ways';

/** The steps of the way back from a step that failed, with one site that is not as it was. */
function back(protocol: Protocol, failed: number, ways = 0): string[] {
  const batch = new Batch(1);
  const keys = new KeyChanges();
  batch.way[0] = batch.ways = ways;
  batch.count = 1;
  batch.at[0] = 0x1000;
  batch.length[0] = 5;
  const ran: Step[] = [];
  const machine: Machine = {
    begin() {
      throw new Stopped(failed, new Error('refused'));
    },
    run: (steps) => void ran.push(...steps),
    unlike: (_, side) => ({ batches: side === 'ours' ? [] : [batch], keys }),
  };
  expect(() => transact(protocol, { batches: [batch], keys }, keys, machine)).toThrow(Unfinished);
  return ran.map((step) => (step.do === 'store' ? `${step.part} ${step.bytes}` : step.do));
}

/** Where a store of that part by one of these ways fails. */
const failing = (protocol: Protocol, part: string, way?: Way): number =>
  protocol.steps.findIndex(
    (s) => s.do === 'store' && s.part === part && (way === undefined || s.ways?.includes(way)),
  );

it('the way back behind a trap: the old rest, a synchronisation, the old first byte', () => {
  expect(back(int3, failing(int3, 'rest'))).toEqual(['publish', 'rest new', 'sync', 'first new']);
});
it('before the rest was begun only first bytes go back, and no synchronisation is owed', () => {
  expect(back(int3, failing(int3, 'first'))).toEqual(['publish', 'first new']);
});
it('the way back by one store: that store, and a synchronisation', () => {
  const only = store.steps.findIndex((s) => s.do === 'store');
  expect(back(store, only).slice(-1)).toEqual(['sync']);
  expect(back(store, only)).toHaveLength(3);
});
it('the way back of one byte is that byte, and a synchronisation', () => {
  const byte = narrowed(auto, WAY.byte);
  const at = failing(byte, 'byte');
  expect(back(byte, at, WAY.byte)).toEqual(['publish', 'byte new', 'sync']);
});
it('of a site that was off: its opcode, a synchronisation, its displacement, another one', () => {
  const behind = narrowed(auto, WAY.behind);
  const to = (part: string) => back(behind, failing(behind, part), WAY.behind);
  expect(to('displacement')).toEqual(['publish', 'displacement new']);
  expect(to('opcode')).toEqual(['publish', 'opcode new', 'sync', 'displacement new', 'sync']);
});
it('of a batch that goes every way: what was switched first, and traps last', () => {
  const ways = waysOf(WAYS);
  const all = narrowed(auto, ways);
  const to = (part: string, way: Way) => back(all, failing(all, part, way), ways);
  expect(to('first', 'trap')).toEqual(['publish', 'displacement new', 'first new']);
  expect(to('changed', 'store')).toEqual([
    'publish',
    'byte new',
    'changed new',
    'opcode new',
    'sync',
    'displacement new',
    'rest new',
    'sync',
    'first new',
  ]);
});
