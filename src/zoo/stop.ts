// What `attach` does to a process that cannot have a trap handler (plan/protocols/stop.ts), and
// what it would be with one thing wrong: `plain`, where threads go on by SYSRET, which serialises
// nothing; `blind`, where the text is two instructions and no look is taken whether a thread stands
// between them.

import { stop as protocol } from '../plan/protocols/stop.js';
import type { Step } from '../plan/protocol.js';
import { inUser, type Idea } from './proposal.js';
import { state, texts } from './system.js';

const released = (step: Step): Step =>
  step.do === 'release' ? { ...step, serialise: false, why: 'the threads go on by SYSRET' } : step;

const TWO_NOPS = texts([state('off', 'null', '0f 1f 00 66 90'), state('on', 'A', 'e8 {A}')]);

export const stop: Idea = {
  proposed: [],
  objections: [
    'Every thread waits for every other one, and for the writes.',
    'A thread in epoll_wait would return EINTR, had the tool not made it ask again.',
    'A thread that cannot be stopped, as a parent of vfork, keeps the update from being made.',
  ],
  rows: [
    inUser('stop', '', protocol),
    inUser('stop', 'plain', { ...protocol, steps: protocol.steps.map(released) }),
    inUser('stop', 'blind', { ...protocol, text: TWO_NOPS }),
  ],
};
