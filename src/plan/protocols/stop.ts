// For a process that cannot have a trap handler: its SIGTRAP is taken, or a seccomp filter refuses
// a call that an update makes. Another process stops every thread by ptrace, writes, and lets them
// go.
//
// A site is one instruction before and after, so no thread is inside of one when it stops. Each
// goes on by IRET, which serialises: bytes that its CPU fetched before the stop are gone.

import type { Protocol } from '../protocol.js';

export const stop: Protocol = {
  name: 'stop',
  about: 'stop every thread, write, let them go on by an instruction that serialises',
  accepts: { bytes: 'whole', within: null },
  handler: null,
  steps: [
    { do: 'stop', why: 'no thread runs while a site is half written' },
    { do: 'publish', why: 'nothing reads it before the release' },
    {
      do: 'store',
      part: 'whole',
      bytes: 'new',
      as: 'bytes',
      why: 'no CPU fetches it, so it may tear',
    },
    { do: 'release', serialise: true, why: 'each thread goes on by IRET, which serialises' },
  ],
};
