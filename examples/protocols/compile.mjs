// A JIT compiles a function to a place that no thread runs yet, and then sends a call there. What
// the place held before was other code, which a CPU may have fetched ahead of time.
export default {
  name: 'compile',
  about: 'new code at a place of its own, a synchronisation, then the call is sent there',
  accepts: { bytes: 'changed', within: 'qword' },
  place: { from: 'same-address', offset: { align: 4, at: 3 } },
  handler: null,
  promise: 'eventually',
  text: {
    states: [
      { name: 'old', runs: 'A', bytes: 'e8 {A}', fresh: 'cc cc cc cc cc' },
      { name: 'new', runs: 'B', bytes: 'e8 {fresh}', fresh: 'e9 {B}' },
    ],
  },
  steps: [
    { do: 'emit', as: 'bytes', why: 'no thread comes there yet' },
    { do: 'sync', why: 'no CPU keeps what it fetched there before' },
    { do: 'publish', why: 'the new code may be called' },
    { do: 'write', at: 1, bytes: 4, from: 'new', as: 'one', why: 'from here threads come there' },
  ],
};
