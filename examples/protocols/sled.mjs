// A tracer's sled: a jump over nine bytes becomes two instructions. The bytes behind the jump are
// written while no thread comes there, and then the jump, by one store of two bytes.
export default {
  name: 'sled',
  about: 'the bytes behind a jump over them, then the jump by one store; no synchronisation',
  accepts: { bytes: 'whole', within: null },
  place: { from: 'same-address', offset: { align: 2, at: 0 } },
  handler: null,
  promise: 'eventually',
  text: {
    changes: ['r10'],
    states: [
      { name: 'off', runs: 'null', bytes: 'eb 09 66 0f 1f 84 00 00 02 00 00' },
      { name: 'on', runs: 'A', bytes: '41 ba 07 00 00 00 e8 {A}' },
      { name: 'off again', runs: 'null', bytes: 'eb 09 .. .. .. .. .. .. .. .. ..' },
    ],
  },
  steps: [
    { do: 'publish', why: 'the update begins' },
    { do: 'write', at: 2, bytes: 4, from: 'new', as: 'one', into: ['on'], why: 'the number' },
    { do: 'write', at: 6, bytes: 1, from: 'new', as: 'one', into: ['on'], why: 'the call' },
    { do: 'write', at: 7, bytes: 4, from: 'new', as: 'one', into: ['on'], why: 'its distance' },
    { do: 'write', at: 0, bytes: 2, from: 'new', as: 'one', why: 'from here threads come by' },
  ],
};
