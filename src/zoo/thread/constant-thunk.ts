// A thunk for each rewrite, whose return address and target are constants in its code, and which is
// therefore safe where contexts nest: push; [sti]; jmp. Nothing is kept in memory. When it may be
// used for another rewrite was the open question; here it never is.

import { said, system } from '../system.js';
import { LEAVES_OUT, LEFT_OUT, made, masked, trapped } from './trapped.js';

const push = ['push [rip.back]', '.caller rsp+8'];
const thunks = (rule?: string) =>
  trapped(
    'constant-thunk',
    'a thunk for each rewrite: push of a constant, sti where it was on, jump to a constant',
    {
      call: masked,
      after: [
        ...made('on', (to) => [...push, 'sti', `jmp ${to}`], rule),
        ...made('off', (to) => [...push, `jmp ${to}`], rule),
        // PUSH takes a constant of 32 bits; eight bytes beside the code are as constant.
        'back:',
        '.quad @end',
      ],
    },
  );

export const constantThunk = system({
  name: 'constant-thunk',
  title: 'A thunk of constants for each rewrite (Linus Torvalds)',
  status: 'proposed',
  environment: 'kernel',
  read: [
    said(
      'https://lkml.iu.edu/hypermail/linux/kernel/1901.1/05182.html',
      'Linus Torvalds, 11 January 2019: one small thunk a rewrite, with and without STI',
    ),
  ],
  protocol: thunks(),
  mended: { says: LEAVES_OUT, protocol: thunks(LEFT_OUT) },
  leaves: 'When a thunk may be used again: a preempted task may still stand in it.',
});
