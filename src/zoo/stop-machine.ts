// Stop every CPU, write, let them go: what kernels did before there were breakpoints for it, and
// what the thread wanted to be rid of, for it holds up the whole machine (Linux's stop_machine).
// The stopped CPUs spin with interrupts off, but an NMI or a machine check still runs there,
// through text that is half written.

import type { Protocol } from '../plan/protocol.js';

const stopMachine = (serialise: boolean): Protocol => ({
  name: 'stop-machine',
  about: `stop all CPUs, write, release them${serialise ? ', serialising' : ' without serialising'}`,
  accepts: { bytes: 'whole', within: null },
  handler: null,
  steps: [
    { do: 'stop', why: 'nobody runs the program while its text is half written' },
    {
      do: 'store',
      part: 'whole',
      bytes: 'new',
      as: 'bytes',
      why: 'nobody fetches it, so it may tear',
    },
    {
      do: 'release',
      serialise,
      why: serialise
        ? 'each CPU throws away what it fetched before it goes on'
        : 'the CPUs go on with whatever they have fetched',
    },
  ],
});

export const stopMachineSerialising: Protocol = stopMachine(true);
export const stopMachinePlain: Protocol = stopMachine(false);
