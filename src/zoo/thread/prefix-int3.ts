// A prefix that does nothing before each call. The trap takes its place alone, and the handler goes
// on behind it, at the call itself: nothing is emulated.

import { poke, publish, put, said, state, sync, system, texts, trapByte } from '../system.js';

const text = texts([
  { ...state('A', 'A', '2e e8 {A}'), trap: 1 },
  { ...state('B', 'B', '2e e8 {B}'), trap: 1 },
  { ...state('C', 'C', '2e e8 {C}'), trap: 1 },
]);
const protocol = poke({
  name: 'prefix-int3',
  about: 'a prefix before the call is the trap, whose handler goes on behind it',
  handler: 'gap',
  text,
  steps: [
    publish('from here a trap goes where the new text goes'),
    trapByte('a thread that comes by traps'),
    sync('every CPU has seen the trap'),
    put(2, 4, 'the displacement'),
    sync('no CPU pairs the new first byte with an old rest'),
    put(0, 1, 'the new first byte'),
    sync('no CPU traps any more'),
  ],
});

export const prefixInt3 = system({
  name: 'prefix-int3',
  title: 'A trap in place of a prefix (Linus Torvalds)',
  status: 'proposed',
  environment: 'kernel',
  read: [
    said(
      'https://lkml.iu.edu/hypermail/linux/kernel/1811.3/05923.html',
      'Linus Torvalds, 29 November 2018: a prefix before the call, and int3 replaces it alone',
    ),
  ],
  protocol,
  mended: {
    says: 'the displacement is aligned to four bytes',
    protocol: { ...protocol, place: { offset: { align: 4, at: 2 } } },
  },
});
