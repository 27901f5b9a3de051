// A nop of five bytes becomes a call: the last byte first, then the other four by one store. In
// between the nop has another last byte, and is a nop all the same.
export default {
  name: 'smash',
  about: 'the last byte, then the first four by one store; inside a line, no synchronisation',
  accepts: { bytes: 'whole', within: 'line' },
  place: { from: 'same-address' },
  handler: null,
  promise: 'eventually',
  text: { also: ['0f 1f 44 00 ..'] },
  steps: [
    { do: 'publish', why: 'the new code is in place' },
    { do: 'write', at: 4, bytes: 1, from: 'new', as: 'one', why: 'a nop whatever this byte is' },
    { do: 'write', at: 0, bytes: 4, from: 'new', as: 'one', why: 'the call, if fetched whole' },
  ],
};
