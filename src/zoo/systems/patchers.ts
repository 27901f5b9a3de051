// Libraries and tools that patch functions of running programs, and a hypervisor and a kernel that
// patch themselves.

import {
  head,
  into,
  jit,
  poke,
  publish,
  put,
  release,
  state,
  stop,
  sync,
  system,
  texts,
  type Read,
} from '../system.js';

const begin = publish('the new code is in place');
const ENTRY = texts([state('old', 'null', '0f 1f 44 00 00'), state('hooked', 'A', 'e9 {A}')], {
  ends: 'return',
});
const HOOK = [put(0, 1, 'the opcode of a jump'), put(1, 4, 'its distance')] as const;

const key: Read = {
  repository: 'nbdd0121/static-key',
  path: 'static-key/src/patch.rs',
  what: 'arch::replace_instruction, x86-64',
  commit: '1fb49fb3088a',
  licence: 'none stated',
};
const loop = head([0xeb, 0xfe], 'a jump to itself: threads that come by wait');
const rest = put(2, 3, 'the other bytes, one after the other', 'bytes');
const done = put(0, 2, 'the first two bytes, in one quadword', 'merge');
const end = sync('the membarrier of the guard, when it is dropped');
const CROSSING = Array.from({ length: 64 }, (_, i) => i).filter((i) => [4, 5, 6].includes(i % 8));
const crate = {
  ...poke({
    name: 'static-key',
    about: 'a jump to itself, the other bytes, the first two, one membarrier at the end',
    steps: [begin, loop, rest, done, end],
  }),
  place: { from: 'same-address', offset: CROSSING },
} as const;
const inside = {
  ...poke({
    name: 'static-key-inside',
    about: 'the aligned quadword is loaded, changed and stored; one membarrier at the end',
    accepts: { bytes: 'whole', within: 'qword' },
    steps: [begin, put(0, 5, 'one store of the quadword', 'merge'), end],
  }),
  place: { from: 'same-address' },
} as const;

const hook = (name: string, about: string) =>
  jit({ name, about, text: ENTRY, steps: [begin, ...HOOK] });
const held = (name: string, about: string) =>
  jit({ name, about, text: ENTRY, steps: [stop, begin, ...HOOK, release()] });
const detours = held('detours', 'every thread is suspended, the opcode, the distance');
const frida = hook('frida', 'the opcode of a jump, then its distance; no thread is stopped');

const NOPS = (count: number): string => Array.from({ length: count }, () => '90').join(' ');
const MULTIVERSE = texts([state('call', 'A', 'e8 {A}'), state('nop', 'null', '0f 1f 44 00 00')]);
const multiverse = jit({
  name: 'multiverse',
  about: 'the opcode and the distance of a call, or memcpy of a nop; no thread is stopped',
  text: MULTIVERSE,
  steps: [
    begin,
    ...HOOK.map((step) => into(step, 'call')),
    into(put(0, 4, 'memcpy, its first four bytes'), 'nop'),
    into(put(4, 1, 'memcpy, its last byte'), 'nop'),
  ],
});

const PULP = texts(
  [
    state('off', 'null', `${NOPS(14)} 66 90`),
    state('on', 'A', `e9 {A} ${NOPS(9)} eb f0`),
    state('off again', 'null', `.. .. .. .. .. .. .. .. .. .. .. .. .. .. 66 90`),
  ],
  { ends: 'return', entry: 14 },
);
const prologue = [
  into(put(0, 8, 'the jump before the entry'), 'on'),
  into(put(8, 8, 'its rest, and the short jump at the entry'), 'on'),
  into(put(14, 2, 'a nop at the entry'), 'off again'),
] as const;
const libpulp = jit({
  name: 'libpulp',
  about: 'every thread is stopped by ptrace, then the entry and what lies before it are written',
  text: PULP,
  steps: [stop, begin, ...prologue, release()],
});

const xen = poke({
  name: 'xen-livepatch',
  about: 'all CPUs meet with interrupts off, memcpy of a jump, each serialises',
  text: ENTRY,
  steps: [stop, begin, put(0, 5, 'memcpy', 'bytes'), release()],
});

const FBT = texts(
  [
    { ...state('off', 'null', 'c3'), trap: 'ret' },
    { ...state('on', 'null', 'cc'), trap: 'ret' },
  ],
  { ends: 'return' },
);
const fbt = {
  ...jit({
    name: 'dtrace-fbt',
    about: 'one byte: a return becomes a trap, and rests there while it is traced',
    handler: 'gap',
    text: FBT,
    steps: [begin, put(0, 1, 'one byte')],
  }),
  place: { from: 'alias' },
} as const;

export const PATCHERS = [
  system({
    name: 'static-key',
    title: 'crate static-key, sites over the end of a quadword',
    environment: 'user',
    read: [key],
    protocol: crate,
    mended: {
      says: 'two more sync_core(), behind the jump to itself and behind the other bytes',
      protocol: {
        ...crate,
        steps: [
          begin,
          loop,
          sync('no CPU decodes the old bytes any more'),
          rest,
          sync('no CPU pairs the new head with an old rest'),
          done,
          end,
        ],
      },
    },
    broken: {
      says: 'without the jump to itself',
      protocol: { ...crate, steps: [begin, rest, done, end] },
    },
    bugs: ['its own riscv64 half, in the same file, has the three synchronisations'],
    leaves: 'The crate itself was not built.',
  }),
  system({
    name: 'static-key-inside',
    title: 'crate static-key, sites inside a quadword',
    environment: 'user',
    read: [key],
    protocol: inside,
    broken: {
      says: 'no membarrier at the end',
      protocol: { ...inside, steps: inside.steps.slice(0, -1) },
    },
  }),
  system({
    name: 'detours',
    title: 'Detours, every thread enlisted',
    environment: 'user',
    updates: 1,
    read: [
      {
        repository: 'microsoft/Detours',
        path: 'src/detours.cpp',
        what: 'DetourTransactionCommitEx, detour_gen_jmp_immediate',
        commit: '9764ceb',
        licence: 'MIT',
      },
    ],
    protocol: detours,
    broken: {
      says: 'threads that were not named to DetourUpdateThread go on running',
      protocol: hook('detours', 'the opcode, the distance; no thread is suspended'),
    },
    bugs: ['microsoft/Detours#70, #78, #144'],
    leaves:
      'The entry is one instruction of five bytes. Where it is several, Detours moves the threads ' +
      'that stand between them.',
  }),
  system({
    name: 'frida',
    title: 'Frida on Linux, replacing a function',
    environment: 'user',
    updates: 1,
    read: [
      {
        repository: 'frida/frida-gum',
        path: 'gum/gummemory.c, gum/arch-x86/gumx86writer.c',
        what: 'patching by mprotect, where pages may be written and executed',
        commit: '9a9f0527',
        licence: 'wxWindows',
      },
    ],
    protocol: frida,
    mended: {
      says: 'all threads are suspended, as it does where no page may be written and executed',
      protocol: held('frida', 'every thread is suspended, the opcode, the distance'),
    },
    broken: {
      says: 'the function begins with two instructions, and a thread stands between them',
      protocol: {
        ...frida,
        text: texts([state('old', 'null', '90 0f 1f 40 00'), state('hooked', 'A', 'e9 {A}')], {
          ends: 'return',
        }),
      },
    },
    bugs: ['frida/frida-gum#1131, #1024'],
    leaves: 'Where the replaced instructions are several: threads that stand between them.',
  }),
  system({
    name: 'multiverse',
    title: 'Multiverse, patch points',
    environment: 'user',
    read: [
      {
        repository: 'luhsra/multiverse',
        path: 'libmultiverse/arch-x86.c',
        what: 'multiverse_arch_patchpoint_apply, multiverse_arch_patchpoint_revert',
        commit: '2006de305f74',
        licence: 'see the repository',
      },
    ],
    protocol: multiverse,
    mended: {
      says: 'all threads are stopped meanwhile',
      protocol: { ...multiverse, steps: [stop, ...multiverse.steps, release()] },
    },
    broken: {
      says: 'five nops in place of one, between which a thread may stand',
      protocol: {
        ...multiverse,
        text: texts([state('call', 'A', 'e8 {A}'), state('nop', 'null', NOPS(5))]),
      },
    },
    leaves: 'How the memcpy of five bytes is done is the C library’s: four bytes and one, here.',
  }),
  system({
    name: 'libpulp',
    title: 'libpulp, live patching of libraries',
    environment: 'user',
    read: [
      {
        repository: 'SUSE/libpulp',
        path: 'lib/arch/x86_64/patch.c',
        what: 'ulp_patch_addr, ulp_skip_prologue; the threads are stopped by tools/introspection.c',
        commit: '0e3fd5a56381',
        licence: 'LGPL-2.1-or-later',
      },
    ],
    protocol: libpulp,
    broken: {
      says: 'no thread is stopped',
      protocol: { ...libpulp, steps: [begin, ...prologue] },
    },
    leaves: 'A direct jump stands for the indirect one through a pointer behind it.',
  }),
  system({
    name: 'xen-livepatch',
    title: 'Xen, live patching',
    environment: 'kernel',
    updates: 1,
    read: [
      {
        repository: 'xen-project/xen',
        path: 'xen/arch/x86/livepatch.c',
        what: 'arch_livepatch_apply, arch_livepatch_post_action, arch_livepatch_mask',
        commit: '3ef997c8beea',
        licence: 'GPL-2.0-only',
      },
    ],
    protocol: xen,
    broken: {
      says: 'no CPU serialises when they go on (arch_livepatch_post_action taken out)',
      protocol: { ...xen, steps: [...xen.steps.slice(0, -1), release(false)] },
    },
    bugs: [
      'its comment says that NMIs and machine checks are still to be handled: both run meanwhile',
    ],
    leaves: 'NMIs and machine checks, during which Xen masks its own callback.',
  }),
  system({
    name: 'dtrace-fbt',
    title: 'DTrace on illumos, return of a function',
    environment: 'kernel',
    read: [
      {
        repository: 'illumos/illumos-gate',
        path: 'usr/src/uts/intel/dtrace/fbt.c',
        what: 'fbt_enable, fbt_disable',
        commit: '193974072f41',
        licence: 'CDDL-1.0',
      },
    ],
    protocol: fbt,
    broken: {
      says: 'the table of probes goes when a probe is disabled',
      protocol: {
        ...fbt,
        steps: [...fbt.steps, { do: 'retire', why: 'no trap is claimed any more' }],
      },
    },
    leaves: 'The entry, whose `push %rbp` the handler would emulate. The handler is Linux’s.',
  }),
];
