// Out of the trap as by longjmp: the handler writes the return address on the interrupted stack,
// over its own frame, and leaves by an IRET frame that it built further down. The normal way out of
// an exception is never taken.

import { FRAME } from '../../trap/kernel.js';
import { said, system } from '../system.js';
import { HASTY, hasty, trapped } from './trapped.js';

/** RIP, CS, RFLAGS, RSP and SS. */
const FRAME_BYTES = 40;
const saved = (name: keyof typeof FRAME): string => `[rsp+${FRAME_BYTES + FRAME[name]}]`;
// prettier-ignore
const GENERAL = [
  'r15', 'r14', 'r13', 'r12', 'rbp', 'rbx', 'r11', 'r10', 'r9', 'r8', 'rax', 'rcx', 'rdx', 'rsi', 'rdi',
] as const;

const protocol = trapped(
  'longjmp',
  'the handler pushes onto the interrupted stack and leaves by an IRET frame of its own',
  {
    call: [
      `sub rsp, ${FRAME_BYTES}`,
      'mov [rsp], rsi',
      ...(['cs', 'flags', 'rsp', 'ss'] as const).flatMap((name, i) => [
        `mov rcx, ${saved(name)}`,
        `mov [rsp+${8 + 8 * i}], rcx`,
      ]),
      // Where SS was saved, or the word that aligned the frame.
      'mov rcx, [rsp+24]',
      'sub rcx, 8',
      'mov [rcx], rdi',
      'mov [rsp+24], rcx',
      ...GENERAL.map((name) => `mov ${name}, ${saved(name)}`),
      'iretq',
    ],
  },
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
