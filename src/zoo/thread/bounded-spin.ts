// A trap that waits for a bounded number of rounds until the first byte is another one, and runs the
// instruction again. To wait without a bound is a deadlock: interrupts are off, and the patcher waits
// for every CPU to answer before it stores that byte.

import { INT3 } from '../../asm/table.js';
import { said, system } from '../system.js';
import { anew, pushed, trapped } from './trapped.js';

/** As many as tell a bound from none. */
const ROUNDS = 2;

const spinning = (about: string, rounds: number | null) =>
  trapped('bounded-spin', about, {
    call: [
      ...(rounds === null ? [] : [`mov edx, ${rounds}`]),
      'look:',
      `cmp byte [rdi-5], ${INT3}`,
      'jne again',
      ...(rounds === null ? ['jmp look'] : ['dec edx', 'jne look', 'jmp gives_up']),
      'again:',
      ...anew,
      'jmp exit',
      ...(rounds === null ? [] : ['gives_up:', ...pushed]),
    ],
  });

export const boundedSpin = system({
  name: 'bounded-spin',
  title: 'A trap that waits for a bounded number of rounds (H. Peter Anvin)',
  status: 'proposed',
  environment: 'kernel',
  read: [
    said(
      'https://lkml.iu.edu/hypermail/linux/kernel/1901.1/07048.html',
      'Peter Anvin, 15 January 2019: the handler looks again for a limited number of retries',
    ),
  ],
  protocol: spinning(
    'the handler waits two rounds for the trap to go, then it emulates the call',
    ROUNDS,
  ),
  broken: {
    says: 'it waits for as long as the trap is there',
    protocol: spinning('the handler waits until the trap is gone', null),
  },
  leaves:
    'What his handler does that has waited long enough, which is to give the update up ' +
    '(`check int3-abort`): here it emulates the call, as the row longjmp does.',
});
