// Other just-in-time compilers and translators that retarget calls while they run.

import { head, into, jit, locked, publish, put, state, system, texts } from '../system.js';

const begin = publish('the new code is in place');
const distance = put(1, 4, 'one store of the displacement');
const ALIGNED = { align: 4, at: 3 };
const INSIDE_LINE = { bytes: 'changed', within: 'line' } as const;
const WHOLE_IN_LINE = { bytes: 'whole', within: 'line' } as const;
const anywhere = { from: 'same-address' } as const;

const qemu = jit(
  {
    name: 'qemu',
    about: 'one store of a displacement that nops align to four bytes',
    steps: [begin, distance],
  },
  ALIGNED,
);
const mono = locked(
  jit({
    name: 'mono',
    about: 'one LOCKed exchange of the displacement, wherever it lies',
    steps: [begin, put(1, 4, 'xchg', 'exchange')],
  }),
);
const FIVE = '90 90 90 90 90';
const JUDO = texts([state('call', 'A', 'e8 {A}'), state('nops', 'null', FIVE)]);
const judo = jit({
  name: 'mono-judo',
  about: 'a jump to itself, the other bytes, the first four: a call becomes five nops',
  text: JUDO,
  steps: [
    begin,
    head([0xeb, 0xfe, 0x00, 0x00], 'a jump to itself and two zeros, by one xchg'),
    put(2, 3, 'nops, one by one', 'bytes'),
    put(0, 4, 'nops in place of the jump, by one xchg', 'exchange'),
  ],
});
const hhvmCall = jit({
  name: 'hhvm',
  about: 'one store of the displacement of a call inside a line',
  accepts: WHOLE_IN_LINE,
  steps: [begin, distance],
});
const SMASH = {
  ...texts([state('nop', 'null', '0f 1f 44 00 00'), state('jmp', 'A', 'e9 {A}')], {
    ends: 'return',
  }),
  also: ['0f 1f 44 00 ..'],
};
const last = put(4, 1, 'the last byte, which the nop does not look at');
const first = put(0, 4, 'the other four, by one store');
const smash = jit({
  name: 'hhvm-jmp',
  about: 'a nop becomes a jump: the last byte, then the other four; and back in the other order',
  accepts: WHOLE_IN_LINE,
  text: SMASH,
  steps: [begin, into(last, 'jmp'), first, into(last, 'nop')],
});
const intercept = jit({
  name: 'hhvm-intercept',
  about: 'the two bytes of a conditional jump become a nop and the opcode of a jump, and back',
  accepts: WHOLE_IN_LINE,
  text: texts([state('jae', 'null', '0f 83 {A}'), state('nop, jmp', 'A', '90 e9 {A}')], {
    ends: 'return',
  }),
  steps: [begin, put(0, 2, 'one store of two bytes')],
});
const dynamorio = locked(
  jit({
    name: 'dynamorio',
    about: 'one xchg of a displacement that is padded to lie inside a line',
    accepts: INSIDE_LINE,
    steps: [begin, put(1, 4, 'xchg', 'exchange')],
  }),
);
const BEAM = texts([state('off', 'null', 'eb 06 90 e8 {A}'), state('on', 'A', 'eb 01 90 e8 {A}')]);
const progress = { do: 'sync', how: 'progress', why: 'thread progress: a code barrier' } as const;
const beam = jit({
  name: 'beam',
  about: 'one byte, the distance of a jump over the call; then thread progress',
  text: BEAM,
  steps: [begin, put(1, 1, 'one byte'), progress],
});

export const JITS = [
  system({
    name: 'qemu',
    title: 'QEMU TCG, chaining of blocks',
    environment: 'user',
    site: 'jmp',
    read: [
      {
        repository: 'qemu/qemu',
        path: 'tcg/i386/tcg-target.c.inc',
        what: 'tcg_out_goto_tb, tb_target_set_jmp_target',
        commit: '4c22e840880e',
        licence: 'MIT',
      },
    ],
    protocol: qemu,
    broken: { says: 'no nops before the jump', protocol: { ...qemu, place: anywhere } },
  }),
  system({
    name: 'mono',
    title: 'Mono on x86-64, call sites',
    environment: 'user',
    read: [
      {
        repository: 'mono/mono',
        path: 'mono/mini/tramp-amd64.c',
        what: 'mono_arch_patch_callsite',
        commit: '5c44041365b1',
        licence: 'MIT',
      },
    ],
    protocol: mono,
    mended: {
      says: 'the displacement is aligned to four bytes',
      protocol: { ...mono, place: { from: 'same-address', offset: ALIGNED } },
    },
    broken: {
      says: 'two stores of two bytes in place of the xchg',
      protocol: { ...mono, steps: [begin, put(1, 2, 'the low half'), put(3, 2, 'the high half')] },
    },
    leaves: 'Where its compiler places calls was not read; the function itself demands nothing.',
  }),
  system({
    name: 'mono-judo',
    title: 'Mono on x86, calls of class initialisers',
    status: 'shipped',
    environment: 'user',
    updates: 1,
    read: [
      {
        repository: 'mono/mono',
        path: 'mono/mini/tramp-x86.c',
        what: 'mono_arch_nullify_class_init_trampoline, after the paper "Practicing JUDO"',
        commit: '186c564833d4',
        licence: 'LGPL-2.0 then; MIT now',
      },
    ],
    protocol: judo,
    mended: {
      says: 'one nop of five bytes, aligned to eight, by one store',
      protocol: jit(
        {
          name: 'mono-judo',
          about: 'one store',
          text: texts([state('call', 'A', 'e8 {A}'), state('nop', 'null', '0f 1f 44 00 00')]),
          steps: [begin, put(0, 5, 'one store of the quadword', 'merge')],
        },
        { align: 8, at: 0 },
      ),
    },
    broken: {
      says: 'five nops become a call by the same steps, and a thread stands between them',
      protocol: {
        ...judo,
        text: texts([state('nops', 'null', FIVE), state('call', 'A', 'e8 {A}')]),
      },
    },
    bugs: [
      'mono/mini/tramp-amd64.c: "It would be better to replace the call with nops, but that doesn\'t ' +
        'seem to work on SMP machines even when the whole call is inside a cache line"',
    ],
    leaves: 'It is 32-bit code; the same bytes are checked in 64-bit mode.',
  }),
  ...[
    {
      name: 'hhvm',
      title: 'HHVM, smashable calls',
      protocol: hhvmCall,
      what: 'smashCall',
      mended: {
        says: 'the displacement is aligned to four bytes',
        protocol: { ...hhvmCall, place: { from: 'same-address' as const, offset: ALIGNED } },
      },
      broken: {
        says: 'calls may cross the end of a line',
        protocol: { ...hhvmCall, accepts: { bytes: 'whole' as const, within: null } },
      },
    },
    {
      name: 'hhvm-jmp',
      title: 'HHVM, smashable jumps',
      protocol: smash,
      what: 'smashJmp',
      mended: null,
      broken: {
        says: 'the first four bytes are stored before the last',
        protocol: { ...smash, steps: [begin, first, last] },
      },
    },
    {
      name: 'hhvm-intercept',
      title: 'HHVM, intercepted functions',
      protocol: intercept,
      what: 'smashInterceptJcc, smashInterceptJmp, X64Assembler::patchInterceptJcc',
      mended: {
        says: 'a prefix that does nothing in place of the nop, so that it is one instruction',
        protocol: {
          ...intercept,
          text: texts([state('jae', 'null', '0f 83 {A}'), state('jmp', 'A', '2e e9 {A}')], {
            ends: 'return' as const,
          }),
        },
      },
      broken: null,
    },
  ].map(({ what, ...rest }) =>
    system({
      environment: 'user',
      read: [
        {
          repository: 'facebook/hhvm',
          path: 'hphp/runtime/vm/jit/smashable-instr-x64.cpp',
          what,
          commit: 'fbce8e63a647',
          licence: 'PHP-3.01',
        },
      ],
      ...rest,
    }),
  ),
  system({
    name: 'dynamorio',
    title: 'DynamoRIO, linking of fragments',
    environment: 'user',
    site: 'jmp',
    read: [
      {
        repository: 'DynamoRIO/dynamorio',
        path: 'core/arch/x86/emit_utils.c',
        what: 'insert_relative_target, ATOMIC_4BYTE_WRITE',
        commit: 'c03e25a4209e',
        licence: 'BSD-3-Clause',
      },
    ],
    protocol: dynamorio,
    mended: {
      says: 'the displacement is aligned to four bytes',
      protocol: { ...dynamorio, place: { from: 'same-address', offset: ALIGNED } },
    },
    broken: {
      says: 'no padding: displacements may cross the end of a line',
      protocol: { ...dynamorio, accepts: { bytes: 'changed', within: null } },
    },
    bugs: ['cases 3628 and 4397 in its comments, and i#1911: displacements over the end of a line'],
  }),
  system({
    name: 'beam',
    title: 'Erlang BeamAsm, breakpoints and traces',
    environment: 'user',
    read: [
      {
        repository: 'erlang/otp',
        path: 'erts/emulator/beam/jit/beam_asm.h',
        what: 'erts_asm_bp_enable, erts_asm_bp_disable',
        commit: '646028b10402',
        licence: 'Apache-2.0',
      },
    ],
    protocol: beam,
    broken: {
      says: 'two bytes are stored, the opcode too, one after the other',
      protocol: {
        ...beam,
        text: texts([state('off', 'null', 'eb 06 90 e8 {A}'), state('on', 'A', '66 90 90 e8 {A}')]),
        steps: [begin, put(0, 2, 'both bytes', 'bytes'), progress],
      },
    },
  }),
];
