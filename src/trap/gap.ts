// The way that was merged for Linux 5.2 (2700fefdb2d9 ("x86_64: Add gap to int3 to allow for call emulation")). A
// CALL is emulated from #BP by pushing the return address on the interrupted stack; but that is where the
// exception frame lies, for #BP has had no stack of its own since d8ba61ba58c8. So the entry code copies
// the six words of the frame once more below themselves, and the upper copy becomes room to push into:
// six words, seven with the padding. The emulation then edits pt_regs and nothing else; it keeps no state, so NMI
// and #MC may nest freely in it. Objections on the list: every int3 entry pays for it, and 32-bit kernels, whose
// frames have no SS:RSP, needed theirs rebuilt first. `gap: 0` is the same without the copy: the push lands in the
// frame's saved SS, as on Xen PV before its entry was changed.

import { cfa, gs, label, mem, mem32, word, type Program } from './assembler.js';
import { ENTRY, FRAME, IF, PERCPU, POKE, type Entry, type KernelHandler } from './kernel.js';
import { EMULATE } from './registry.js';

/** Frame words that the entry copies: RIP, CS, RFLAGS, RSP, SS and the error code's place. */
const FRAME_WORDS = 6;

export interface GapOptions {
  readonly gap: 0 | typeof FRAME_WORDS;
  readonly entry: Entry;
}

const GENERAL = ['rdi', 'rsi', 'rdx', 'rcx', 'rax', 'r8', 'r9', 'r10', 'r11', 'rbx', 'rbp', 'r12', 'r13', 'r14', 'r15'] as const;

/** All general registers, so that RSP points at a pt_regs. */
export const saveRegisters: Program = GENERAL.map((name) => ['push', name] as const);
export const restoreRegisters: Program = [...GENERAL].reverse().map((name) => ['pop', name] as const);

/** Finds the entry of the site in rax, or goes to `missing`. Afterwards rdx: form, rsi: target, rdi: end of the site. */
export function lookUp(missing: string): Program {
  return [
    ['movabs', 'rcx', word('table')],
    ['mov', 'rdx', mem('rcx', POKE.count)],
    ['add', 'rcx', POKE.entries],
    label('search'),
    ['test', 'rdx', 'rdx'],
    ['je', missing],
    ['cmp', mem('rcx', ENTRY.site), 'rax'],
    ['je', 'found'],
    ['add', 'rcx', ENTRY.size],
    ['dec', 'rdx'],
    ['jmp', 'search'],
    label('found'),
    ['mov', 'rdx', mem('rcx', ENTRY.word)], // read once: form and target belong together
    ['mov', 'rsi', 'rdx'],
    ['shl', 'rsi', 16],
    ['sar', 'rsi', 16],
    ['shr', 'rdx', 48],
    ['lea', 'rdi', mem('rax', 5)],
  ];
}

export function gap({ gap: words, entry }: GapOptions): KernelHandler {
  const traced = entry === '2019';
  const program: Program = [
    label('entry'),
    cfa({ kind: 'frame', base: 'rsp', offset: 0 }),
    ['push', -1],
    // Each push lowers RSP by one word, so the same displacement copies the next one. Every prefix of the
    // copy leaves the original intact above RSP: an NMI in between does no harm.
    ...Array.from({ length: words }, () => ['push', mem('rsp', 8 * (FRAME_WORDS - 1))] as const),
    ...saveRegisters,
    ...(traced ? [['mov', gs(PERCPU.lockdep), 0] as const] : []),
    ['mov', 'rax', mem('rsp', FRAME.rip)],
    ['dec', 'rax'], // the saved address is behind the int3; rax: the site
    ...lookUp('unclaimed'),
    ['cmp', 'edx', EMULATE.call],
    ['je', 'call'],
    ['cmp', 'edx', EMULATE.jmp],
    ['je', 'jump'],
    ['cmp', 'edx', EMULATE.nop],
    ['je', 'skip'],
    ['cmp', 'edx', EMULATE.ret0],
    ['je', 'ret0'],
    ['cmp', 'edx', EMULATE.ret],
    ['jne', 'unclaimed'],
    ['mov', 'rcx', mem('rsp', FRAME.rsp)],
    ['mov', 'rsi', mem('rcx')],
    ['add', 'rcx', 8],
    ['mov', mem('rsp', FRAME.rsp), 'rcx'],
    ['jmp', 'jump'],
    label('call'),
    ['mov', 'rcx', mem('rsp', FRAME.rsp)],
    ['sub', 'rcx', 8],
    ['mov', mem('rcx'), 'rdi'],
    ['mov', mem('rsp', FRAME.rsp), 'rcx'],
    label('jump'),
    ['mov', mem('rsp', FRAME.rip), 'rsi'],
    ['jmp', 'exit'],
    label('ret0'),
    ['mov', mem('rsp', FRAME.rax), 0],
    label('skip'),
    ['mov', mem('rsp', FRAME.rip), 'rdi'],
    label('exit'),
    ...(traced ? tellOn : []),
    ...restoreRegisters,
    ['add', 'rsp', 8],
    ['iretq'],
    label('leave'),
  ];
  return { program, stash: [] };
}

/** The exit of 2019 says "on" only if the interrupted context had interrupts on. */
const tellOn: Program = [
  ['test', mem32('rsp', FRAME.flags), IF],
  ['je', 'told'],
  ['mov', gs(PERCPU.lockdep), 1],
  label('told'),
];
