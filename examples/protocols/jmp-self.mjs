// The two-byte protocol of JIT compilers: hold everybody at the site by a jump to itself, write behind it, then let them go.
// It needs no trap handler and emulates nothing; a CPU that comes by just waits. See docs/protocols.md.

/** @type {import('static-call/check').Protocol} */
export default {
  name: 'jmp-self',
  about: 'jmp . over the first two bytes, sync, the rest, sync, the first two bytes, sync',
  accepts: { bytes: 'whole', within: 'qword' },
  handler: null,
  steps: [
    { do: 'plant', bytes: [0xeb, 0xfe], why: 'from here whoever comes waits at the site' },
    { do: 'sync', why: 'nobody decodes the old instruction any more' },
    { do: 'behind', why: 'hidden behind the jump, so tearing is harmless' },
    { do: 'sync', why: 'nobody may pair the new head with an old rest' },
    { do: 'unplant', why: 'one store of two bytes lets everybody go on, into the new instruction' },
    { do: 'sync', why: 'from here nobody waits' },
  ],
};
