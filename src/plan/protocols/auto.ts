// Each site by the cheapest way that is right for it (way.ts), all of them in one batch. The steps
// are those of every way, laid over each other so that the synchronisations are shared: a batch
// costs as many as the dearest of its sites needs.
//
//              traps               behind         byte, store
//              trap byte           displacement
//   sync       x                   x
//              rest                opcode         what changes
//   sync       x                   x              x
//              first byte
//   sync       x
//
// A hook that goes off, or on again to the same target, is one byte and one synchronisation. From
// nothing to another target are two. Only a site that is in use and crosses a quadword is trapped
// for; a batch without one plants no trap and needs no handler, so that it is right in a process
// whose threads block SIGTRAP or have a shadow stack.
//
// Every one of these stores is right where a CPU fetches byte by byte and keeps old bytes until it
// serialises, but `store`: that takes the quadword, as AMD's manual promises it (store.ts).

import type { Protocol } from '../protocol.js';

export const auto: Protocol = {
  name: 'auto',
  about: 'each site by the cheapest way that is right for it, all in one batch',
  accepts: { bytes: 'changed', within: null },
  ways: ['byte', 'store', 'behind', 'trap'],
  handler: 'sigtrap',
  steps: [
    { do: 'publish', why: 'a thread that meets a trap must find the new target already there' },
    {
      do: 'store',
      ways: ['trap'],
      part: 'first',
      bytes: 'trap',
      as: 'one',
      why: 'one byte cannot tear; from here no CPU decodes the rest of the site',
    },
    {
      do: 'store',
      ways: ['behind'],
      part: 'displacement',
      bytes: 'new',
      as: 'bytes',
      why: 'the site is off: any mixture of these bytes does nothing, so tearing is harmless',
    },
    {
      do: 'sync',
      ways: ['trap', 'behind'],
      why: 'no CPU may pair an old opcode with the new rest, nor the new opcode with an old one',
    },
    {
      do: 'store',
      ways: ['trap'],
      part: 'rest',
      bytes: 'new',
      as: 'bytes',
      why: 'hidden behind the trap, so tearing is harmless',
    },
    {
      do: 'store',
      ways: ['behind'],
      part: 'opcode',
      bytes: 'new',
      as: 'one',
      why: 'one byte in front of a rest that every CPU knows: the switch cannot tear',
    },
    {
      do: 'store',
      ways: ['byte'],
      part: 'byte',
      bytes: 'new',
      as: 'one',
      why: 'one byte cannot tear: a CPU fetches the old instruction or the new one',
    },
    {
      do: 'store',
      ways: ['store'],
      part: 'changed',
      bytes: 'new',
      as: 'exchange',
      why: 'one store inside one quadword: a CPU fetches the old instruction or the new one',
    },
    {
      do: 'sync',
      why: 'from here no CPU runs an old instruction, and none pairs a new byte with an old rest',
    },
    {
      do: 'store',
      ways: ['trap'],
      part: 'first',
      bytes: 'new',
      as: 'one',
      why: 'one byte: the switch itself cannot tear',
    },
    { do: 'sync', ways: ['trap'], why: 'from here no CPU fetches the trap' },
  ],
};
