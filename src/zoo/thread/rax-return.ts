// The return address in RAX, which a call may change, and a trampoline for each key that pushes it
// and jumps to a constant. It was meant to be batched, which a thunk for each rewrite cannot be.

import { said, state, system, texts } from '../system.js';
import { LEAVES_OUT, LEFT_OUT, made, sent, trapped } from './trapped.js';

const text = texts(
  [state('A', 'A', 'e8 {A}'), state('B', 'B', 'e8 {B}'), state('C', 'C', 'e8 {C}')],
  { changes: ['rax'] },
);
const trampolines = (rule?: string) => ({
  ...trapped(
    'rax-return',
    'the handler puts the return address in RAX; a trampoline for each key pushes it',
    {
      call: ['mov [saved.rax], rdi', ...sent('thunk')],
      after: made('thunk', (to) => ['push rax', '.caller rsp+8', `jmp ${to}`], rule),
    },
  ),
  text,
});

export const raxReturn = system({
  name: 'rax-return',
  title: 'The return address in RAX (Josh Poimboeuf)',
  status: 'proposed',
  environment: 'kernel',
  read: [
    said(
      'https://www.mail-archive.com/linux-kernel@vger.kernel.org/msg1898473.html',
      'Josh Poimboeuf, 11 January 2019: a trampoline for each key, and RAX',
    ),
  ],
  protocol: trampolines(),
  mended: { says: LEAVES_OUT, protocol: trampolines(LEFT_OUT) },
  leaves: 'Functions that find something in RAX, as those of variable arguments do.',
});
