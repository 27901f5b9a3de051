// The two-byte protocol of JIT compilers: hold every CPU at the site by a jump to itself,
// write behind it, then let them go.
// It needs no trap handler and emulates nothing. See docs/protocols.md.

/** @type {import('static-call/check').Protocol} */
export default {
  name: 'jmp-self',
  about: 'jmp . over the first two bytes, sync, the rest, sync, the first two bytes, sync',
  accepts: { bytes: 'whole', within: null },
  handler: null,
  steps: [
    { do: 'publish', why: 'from here the new target may be called' },
    { do: 'store-head', bytes: [0xeb, 0xfe], why: 'a CPU that comes by waits here' },
    { do: 'sync', why: 'no CPU decodes the old instruction any more' },
    { do: 'store-tail', why: 'hidden behind the jump, so tearing is harmless' },
    { do: 'sync', why: 'no CPU may pair the new head with an old rest' },
    { do: 'restore-head', why: 'one store of two bytes lets them go on, into the new one' },
    { do: 'sync', why: 'from here no CPU waits' },
  ],
};
