// Out of the trap as by longjmp: the handler writes the return address on the interrupted stack,
// over its own frame, and leaves by an IRET frame that it built further down. The normal way out of
// an exception is never taken.

import { said, system } from '../system.js';
import { HASTY, hasty, pushed, trapped } from './trapped.js';

const protocol = trapped(
  'longjmp',
  'the handler pushes onto the interrupted stack and leaves by an IRET frame of its own',
  { call: pushed },
);

export const longjmp = system({
  name: 'longjmp',
  title: 'Out of the trap as by longjmp (Andy Lutomirski)',
  status: 'proposed',
  environment: 'kernel',
  read: [
    said(
      'https://lkml.iu.edu/hypermail/linux/kernel/1901.1/04948.html',
      'Nadav Amit, 11 January 2019, who names it as Andy Lutomirski’s: the handler does not return',
    ),
  ],
  protocol,
  broken: { says: HASTY, protocol: hasty(protocol) },
  leaves: 'What else the way out of an exception does, such as telling lockdep.',
});
