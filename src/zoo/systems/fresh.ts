// Systems that write code at a place where no thread runs yet, and then send threads there. A CPU
// may have fetched what the place held before, without ever executing it.

import {
  emit,
  fresh,
  into,
  jit,
  poke,
  publish,
  put,
  said,
  state,
  sync,
  system,
  texts,
  trapByte,
} from '../system.js';
import type { Step } from '../../plan/protocol.js';

const ALIGNED = { align: 4, at: 3 };
/** What a place holds that no code was written to yet. */
const UNUSED = 'cc cc cc cc cc';
const linked = publish('the new code is in place');
const distance = put(1, 4, 'one store of the displacement');
const compiled = into(emit('no thread comes there yet'), 'new');

const signal: Step = {
  do: 'sync',
  how: 'signal',
  why: 'each thread runs a fence in a signal handler, one after the other',
};
const jsc = jit(
  {
    name: 'jsc',
    about: 'new code, a signal to each thread, then one store of a displacement aligned to four',
    text: texts([
      fresh(state('old', 'A', 'e8 {A}'), UNUSED),
      fresh(state('new', 'B', 'e8 {fresh}'), 'e9 {B}'),
    ]),
    steps: [compiled, signal, linked, distance],
  },
  ALIGNED,
);

const translated = jit(
  {
    name: 'qemu-translate',
    about: 'a block is translated, then one store of an aligned displacement leads to it',
    text: texts(
      [
        fresh(state('old', 'A', 'e9 {A}'), UNUSED),
        fresh(state('new', 'B', 'e9 {fresh}'), 'e9 {B}'),
      ],
      { ends: 'return' },
    ),
    steps: [compiled, linked, distance],
  },
  ALIGNED,
);
const serialised = sync('no CPU keeps what it fetched there before');

const left: Step = { do: 'grace', why: 'synchronize_rcu: no CPU is in the half that is next' };
const again = 'first half again';
const dispatcher = poke({
  name: 'linux-bpf-dispatcher',
  about: 'code is written to the half that is not in use, then text_poke_bp, then a grace period',
  handler: 'gap',
  text: texts(
    [
      fresh(state('first half', 'A', 'e9 {fresh}'), 'e9 {A}'),
      state('second half', 'B', 'e9 {B}'),
      fresh(state(again, 'C', 'e9 {fresh}'), 'e9 {C}'),
    ],
    { ends: 'return' },
  ),
  steps: [
    into(emit('the half that was left before the last update'), again),
    publish('from here a trap goes to the new code'),
    trapByte('a thread that comes by traps'),
    sync('every CPU has seen the trap'),
    put(1, 4, 'the other bytes, behind the trap'),
    sync('no CPU pairs the new first byte with an old rest'),
    put(0, 1, 'the new first byte'),
    sync('no CPU traps any more'),
    left,
  ],
});

export const FRESH = [
  system({
    name: 'jsc',
    title: 'JavaScriptCore, WebAssembly call sites',
    environment: 'user',
    read: [
      {
        repository: 'WebKit/WebKit',
        path: 'Source/JavaScriptCore/wasm/WasmCallsiteCollection.cpp',
        what: 'CallsiteCollection::updateCallsitesToCallUs',
        commit: '1c19226f030b',
        licence: 'BSD-2-Clause',
      },
    ],
    protocol: jsc,
    broken: {
      says: 'no signals: a CPU may have fetched what the place of the new code held before',
      protocol: { ...jsc, steps: jsc.steps.filter((step) => step !== signal) },
    },
    bugs: ['its own comment gives this reason for the signals'],
  }),
  system({
    name: 'qemu-translate',
    title: 'QEMU TCG, chaining to a block that was just translated',
    environment: 'user',
    read: [
      {
        repository: 'qemu/qemu',
        path: 'accel/tcg/cpu-exec.c',
        what: 'tb_find, tb_add_jump',
        commit: '886cc68943eb',
        licence: 'LGPL-2.0-or-later',
      },
      {
        repository: 'qemu/qemu',
        path: 'include/qemu/cacheflush.h',
        what: 'flush_idcache_range, which does nothing on x86-64',
        commit: '25512d6865e2',
        licence: 'GPL-2.0-or-later',
      },
    ],
    protocol: translated,
    mended: {
      says: 'every thread serialises between the new block and the jump to it',
      protocol: { ...translated, steps: [compiled, serialised, linked, distance] },
    },
    broken: {
      says: 'the jump leads to the block before it is written',
      protocol: { ...translated, steps: [linked, distance, compiled] },
    },
    leaves: 'Threads that find the block in its table and come to it by an indirect jump.',
  }),
  system({
    name: 'linux-bpf-dispatcher',
    title: 'Linux, the dispatcher of BPF programs',
    environment: 'kernel',
    read: [
      {
        repository: 'torvalds/linux',
        path: 'kernel/bpf/dispatcher.c',
        what: 'bpf_dispatcher_update, before its grace period',
        commit: '02620d9e629d',
        licence: 'GPL-2.0-only',
      },
      said(
        'https://lore.kernel.org/r/20221214123542.1389719-1-jolsa@kernel.org',
        'Jiri Olsa, 14 December 2022: the grace period, which is 4121d4481b72',
      ),
    ],
    protocol: dispatcher,
    broken: {
      says: 'no grace period, as before 4121d4481b72: a CPU may still be in the half that is written',
      protocol: { ...dispatcher, steps: dispatcher.steps.filter((step) => step !== left) },
    },
    bugs: [
      'a crash in the image of the dispatcher, reported by Hao Sun and by syzbot (4121d4481b72)',
    ],
    leaves: 'A direct jump stands for the tree of comparisons in each half.',
  }),
];
