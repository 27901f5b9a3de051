// HotSpot: calls that are retargeted, calls that are replaced, entries of methods that become
// jumps.

import { head, jit, publish, put, state, system, texts, type Read } from '../system.js';

const read = (what: string): readonly Read[] => [
  {
    repository: 'openjdk/jdk',
    path: 'src/hotspot/cpu/x86/nativeInst_x86.cpp',
    what,
    commit: '711481613919',
    licence: 'GPL-2.0-only WITH Classpath-exception-2.0',
  },
];

const begin = publish('the new code is in place');
const retarget = put(1, 4, 'one store of the displacement');
const call = jit(
  {
    name: 'hotspot-call',
    about: 'one store of a displacement that is aligned to four bytes',
    steps: [begin, retarget],
  },
  { align: 4, at: 3 },
);

const guarded = [
  head([0xeb, 0xfe, 0xeb, 0xfe], 'two jumps to themselves, by one store of four bytes'),
  put(4, 1, 'the last byte, behind the jumps'),
  put(0, 4, 'the other four, by one store'),
];
const replace = jit(
  {
    name: 'hotspot-replace',
    about: 'two jumps to themselves, the last byte, the first four bytes',
    steps: [begin, ...guarded],
  },
  { align: 8, at: 0 },
);

const ENTRY = texts([state('entrant', 'null', '0f 1f 44 00 00'), state('not', 'A', 'e9 {A}')], {
  ends: 'return',
});
const entry = jit(
  {
    name: 'hotspot-entry',
    about: 'the aligned quadword is loaded, five bytes of it changed, and stored',
    text: ENTRY,
    steps: [begin, put(0, 5, 'one store of the quadword', 'merge')],
  },
  { align: 8, at: 0 },
);

export const HOTSPOT = [
  system({
    name: 'hotspot-call',
    title: 'HotSpot, retargeting a call',
    environment: 'user',
    read: read('NativeCall::set_destination_mt_safe'),
    protocol: call,
    broken: {
      says: 'the displacement is not aligned',
      protocol: { ...call, place: { from: 'same-address' } },
    },
    bugs: [
      'JDK-4506997 and JDK-4479829, "threads witnessed garbage displacements": the comment in the source',
    ],
  }),
  system({
    name: 'hotspot-replace',
    title: 'HotSpot, replacing a call',
    environment: 'user',
    read: read('NativeCall::replace_mt_safe, NativeGeneralJump::replace_mt_safe'),
    protocol: replace,
    broken: {
      says: 'the call is not aligned to eight bytes',
      protocol: { ...replace, place: { from: 'same-address' } },
    },
  }),
  system({
    name: 'hotspot-entry',
    title: 'HotSpot, a method made not entrant',
    environment: 'user',
    updates: 1,
    read: read('NativeJump::patch_verified_entry, 64-bit'),
    protocol: entry,
    broken: {
      says: 'the 32-bit way, jumps to themselves, at an entry aligned to four bytes',
      protocol: jit(
        {
          name: 'hotspot-entry',
          about: 'two jumps to themselves, the last byte, the first four bytes',
          text: ENTRY,
          steps: [begin, ...guarded],
        },
        { align: 4, at: 0 },
      ),
    },
    bugs: ['JDK-8294947 (openjdk/jdk#11059), which brought the one store of the quadword'],
    leaves: 'The entry is a nop of five bytes; the compilers have another instruction as long.',
  }),
];
