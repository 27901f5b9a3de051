// A trampoline for each CPU with the target in its code, and one word of scratch for the return
// address. Before it is written for the next rewrite, the updater waits until no thread is in it.

import { said, system } from '../system.js';
import { LEAVES_OUT, LEFT_OUT, made, masked, trapped } from './trapped.js';
import type { Step } from '../../plan/protocol.js';

const push = ['push [slot0]', '.caller rsp+8'];
const grace: Step = { do: 'grace', why: 'synchronize_sched: no CPU is in its trampoline' };
const trampolines = (rule?: string) =>
  trapped(
    'percpu-pages',
    'a trampoline for each CPU: push of a scratch word, sti where it was on, jump to a constant',
    {
      slots: 1,
      call: ['mov [slot0], rdi', ...masked],
      after: [
        ...made('on', (to) => [...push, 'sti', `jmp ${to}`], rule),
        ...made('off', (to) => [...push, `jmp ${to}`], rule),
      ],
    },
    [grace],
  );

export const percpuPages = system({
  name: 'percpu-pages',
  title: 'A trampoline for each CPU (Nadav Amit)',
  status: 'proposed',
  environment: 'kernel',
  read: [
    said(
      'https://lkml.iu.edu/hypermail/linux/kernel/1901.1/04948.html',
      'Nadav Amit, 11 January 2019: per-CPU trampolines and scratch, after synchronize_sched',
    ),
  ],
  protocol: trampolines(),
  mended: { says: LEAVES_OUT, protocol: trampolines(LEFT_OUT) },
  leaves:
    'That the trampoline is written between rewrites: it has the code for each target. NMIs: one ' +
    'that traps as well takes the word.',
});
