// Stop every CPU, write, let them go: Linux's stop_machine, by which kernels patched before they
// had breakpoints for it. The stopped CPUs spin with interrupts off, but an NMI or a machine check
// still runs there, through text that is half written.

import type { Protocol } from '../plan/protocol.js';
import { commit, inKernel, type Idea } from './proposal.js';

const stop = (serialise: boolean): Protocol => ({
  name: 'stop-machine',
  about: `stop all CPUs, write, release them${serialise ? ',' : ' without'} serialising`,
  accepts: { bytes: 'whole', within: null },
  handler: null,
  steps: [
    { do: 'stop', why: 'no CPU runs the program while its text is half written' },
    { do: 'publish', why: 'nothing calls it before the release' },
    {
      do: 'store',
      part: 'whole',
      bytes: 'new',
      as: 'bytes',
      why: 'no CPU fetches it, so it may tear',
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

export const stopMachine: Idea = {
  proposed: [commit('Steven Rostedt', '2008-05-12', '3d0833953e1b')],
  objections: [
    'It holds up the whole machine for every update.',
    'NMIs and machine checks are not stopped.',
  ],
  rows: [inKernel('stop-machine', '', stop(true)), inKernel('stop-machine', 'plain', stop(false))],
};
