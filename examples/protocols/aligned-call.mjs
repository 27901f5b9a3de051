// A JIT that retargets a call by one four-byte store: the displacement lies at a multiple of four, and
// the patcher waits for no CPU.
export default {
  name: 'aligned-call',
  about: 'the displacement of a call, aligned to four bytes, by one store; no synchronisation',
  accepts: { bytes: 'changed', within: 'qword' },
  place: { from: 'same-address', offset: { align: 4, at: 3 } },
  handler: null,
  promise: 'eventually',
  steps: [
    { do: 'publish', why: 'the new code is in place' },
    { do: 'write', at: 1, bytes: 4, from: 'new', as: 'one', why: 'inside one aligned quadword' },
  ],
};
