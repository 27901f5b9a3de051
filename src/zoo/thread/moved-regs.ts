// The saved registers moved down by one word in C, and their new address handed back to a small
// tail of assembly, so that no entry code changes. The return address then has room above them.

import { FRAME } from '../../trap/kernel.js';
import { said, system } from '../system.js';
import { HASTY, hasty, trapped } from './trapped.js';

const WORDS = FRAME.ss / 8 + 1;
const protocol = trapped(
  'moved-regs',
  'the handler moves the saved registers down and pushes the return address above them',
  {
    call: [
      'sub rsp, 8',
      // From the lowest word up: each is copied before the next one lands on it.
      ...Array.from({ length: WORDS }, (_, i) => [
        `mov rdx, [rsp+${8 * i + 8}]`,
        `mov [rsp+${8 * i}], rdx`,
      ]).flat(),
      'mov rcx, [saved.rsp]',
      'sub rcx, 8',
      'mov [rcx], rdi',
      'mov [saved.rsp], rcx',
      'mov [saved.rip], rsi',
    ],
  },
);

export const movedRegs = system({
  name: 'moved-regs',
  title: 'The saved registers moved in C (Linus Torvalds)',
  status: 'proposed',
  environment: 'kernel',
  read: [
    said(
      'https://lkml.iu.edu/hypermail/linux/kernel/1905.0/01855.html',
      'Linus Torvalds, 2 May 2019: C moves pt_regs and returns its new address',
    ),
  ],
  protocol,
  broken: { says: HASTY, protocol: hasty(protocol) },
  leaves: 'The 32-bit frame, for which it was meant as much.',
});
