// LLVM XRay: sleds at the entry and the exit of a function, and inline events.

import { into, jit, publish, put, state, sync, system, texts, type Read } from '../system.js';

const read = (what: string): readonly Read[] => [
  {
    repository: 'llvm/llvm-project',
    path: 'compiler-rt/lib/xray/xray_x86_64.cpp',
    what,
    commit: '9e6565420a27',
    licence: 'Apache-2.0 WITH LLVM-exception',
  },
];
const ALIGNED = { align: 2, at: 0 };

const begin = publish('the handler is in place');
const number = into(put(2, 4, 'the number of the function'), 'on');
const call = into(put(6, 1, 'the opcode of the call'), 'on');
const distance = into(put(7, 4, 'its distance'), 'on');
const over = put(0, 2, 'one store of two bytes: threads come by, or no more');
const late = into(sync('no CPU has an old sled any more'), 'on');

const ENTRY = texts(
  [
    state('off', 'null', 'eb 09 66 0f 1f 84 00 00 02 00 00'),
    state('on', 'A', '41 ba 07 00 00 00 e8 {A}'),
    state('off again', 'null', 'eb 09 .. .. .. .. .. .. .. .. ..'),
  ],
  { changes: ['r10'] },
);
const entry = jit(
  {
    name: 'xray',
    about: 'the bytes behind a jump over them, then the jump, by one store of two bytes',
    text: ENTRY,
    steps: [begin, number, call, distance, over],
  },
  ALIGNED,
);

const EXIT = texts(
  [
    state('off', 'null', 'c3 2e 66 0f 1f 84 00 00 02 00 00'),
    state('on', 'A', '41 ba 07 00 00 00 e9 {A}'),
    state('off again', 'null', 'c3 .. .. .. .. .. .. .. .. .. ..'),
  ],
  { changes: ['r10'], ends: 'return' },
);
const exit = jit(
  {
    name: 'xray-exit',
    about: 'the bytes behind a return, then the return; back by one byte',
    text: EXIT,
    steps: [
      begin,
      number,
      call,
      distance,
      into(over, 'on'),
      into(put(0, 1, 'a return again'), 'off again'),
    ],
  },
  ALIGNED,
);

const BODY = '66 0f 1f 84 00 00 00 00 00 90 e8 {A}';
const event = jit(
  {
    name: 'xray-event',
    about: 'a jump over the event becomes a nop of two bytes, and back',
    text: texts([state('off', 'null', `eb 0f ${BODY}`), state('on', 'A', `66 90 ${BODY}`)]),
    steps: [begin, over],
  },
  ALIGNED,
);

export const XRAY = [
  system({
    name: 'xray',
    title: 'LLVM XRay, function entry',
    environment: 'user',
    read: read('patchFunctionEntry'),
    protocol: entry,
    mended: {
      says: 'a synchronisation before the jump is replaced',
      protocol: { ...entry, steps: [begin, number, call, distance, late, over] },
    },
    broken: {
      says: 'the jump is replaced first',
      protocol: { ...entry, steps: [begin, over, number, call, distance] },
    },
    leaves: 'A handler of another kind, which changes the call while the sled is on.',
  }),
  system({
    name: 'xray-exit',
    title: 'LLVM XRay, function exit',
    environment: 'user',
    read: read('patchFunctionExit'),
    protocol: exit,
    mended: {
      says: 'a synchronisation before the return is replaced',
      protocol: {
        ...exit,
        steps: [...exit.steps.slice(0, 4), late, ...exit.steps.slice(4)],
      },
    },
    broken: {
      says: 'the return is replaced first',
      protocol: {
        ...exit,
        steps: [begin, ...exit.steps.slice(4), number, call, distance],
      },
    },
  }),
  system({
    name: 'xray-event',
    title: 'LLVM XRay, custom event',
    environment: 'user',
    read: read('patchCustomEvent'),
    protocol: event,
    broken: {
      says: 'the sled is not aligned to two bytes',
      protocol: { ...event, place: { from: 'same-address' } },
    },
    leaves: 'The moves and pushes around the call: nops stand for them.',
  }),
];
