// V8: the jump table of WebAssembly, as it was until about 2024 and as it is.

import { jit, publish, put, state, system, texts, type Read } from '../system.js';

const read = (what: string, commit: string): readonly Read[] => [
  {
    repository: 'v8/v8',
    path: 'src/wasm/jump-table-assembler.{h,cc}',
    what,
    commit,
    licence: 'BSD-3-Clause',
  },
];
const begin = publish('the new code is in place');
const SLOTS_OF_FIVE = Array.from({ length: 12 }, (_, i) => 5 * i);

const slots = texts(
  [
    state('A', 'A', 'e9 {A} cc cc cc'),
    state('B', 'B', 'e9 {B} cc cc cc'),
    state('C', 'C', 'e9 {C} cc cc cc'),
  ],
  { ends: 'return' },
);
const old = jit(
  {
    name: 'v8-2018',
    about: 'the opcode, then the displacement: twelve slots of five bytes in each line',
    steps: [begin, put(0, 1, 'the opcode, which is the same'), put(1, 4, 'the displacement')],
  },
  SLOTS_OF_FIVE,
);
const now = jit(
  {
    name: 'v8',
    about: 'a slot of eight bytes, by one store',
    text: slots,
    steps: [begin, put(0, 8, 'one store of the whole slot')],
  },
  { align: 8, at: 0 },
);
const CET = 'f3 0f 1e fa 0f 1f 40 00';
const cet = jit(
  {
    name: 'v8-cet',
    about: 'the landing pad, a nop, and then the jump by one store of eight bytes',
    text: texts(
      [
        state('A', 'A', `${CET} e9 {A} cc cc cc`),
        state('B', 'B', `${CET} e9 {B} cc cc cc`),
        state('C', 'C', `${CET} e9 {C} cc cc cc`),
      ],
      { ends: 'return' },
    ),
    steps: [
      begin,
      put(0, 4, 'the landing pad, which is the same'),
      put(4, 4, 'the nop, which is the same'),
      put(8, 8, 'the jump'),
    ],
  },
  { align: 16, at: 0 },
);

export const V8 = [
  system({
    name: 'v8-2018',
    title: 'V8, WebAssembly jump table with slots of 5 bytes',
    status: 'shipped',
    environment: 'user',
    site: 'jmp',
    read: read('JumpTableAssembler::PatchJumpTableSlot, EmitJumpSlot', 'aeccaceb27b6'),
    protocol: old,
    mended: {
      says: 'slots of eight bytes, which is what V8 did',
      protocol: { ...old, place: { from: 'same-address', offset: { align: 8, at: 0 } } },
    },
    broken: {
      says: 'slots may cross the end of a line',
      protocol: { ...old, place: { from: 'same-address' } },
    },
  }),
  system({
    name: 'v8',
    title: 'V8, WebAssembly jump table with slots of 8 bytes',
    environment: 'user',
    read: read('JumpTableAssembler, one relaxed store of a slot', '1158ae719749'),
    protocol: now,
    broken: {
      says: 'slots of five bytes, as before',
      protocol: { ...old, name: 'v8' },
    },
  }),
  system({
    name: 'v8-cet',
    title: 'V8, the same with landing pads of CET',
    environment: 'user',
    read: read('JumpTableAssembler, slots of 16 bytes', '1158ae719749'),
    protocol: cet,
    broken: {
      says: 'slots are aligned to four bytes',
      protocol: { ...cet, place: { from: 'same-address', offset: { align: 4, at: 0 } } },
    },
    bugs: [
      'nodejs/node#64424 (v8 1158ae719749): the slot was written before its distance was checked, ' +
        'and the second try wrote into the neighbour. That is a wrong address, which the model has not.',
    ],
  }),
];
