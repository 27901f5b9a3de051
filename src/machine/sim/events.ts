// What interrupts a CPU, and how it comes back. In the kernel an event is the processor's own work
// (SDM volume 3, 6.14): a frame on a stack, IF and RIP from the gate. Everything after that is
// code. In a process it is the kernel's work too: exception, signal frame, rt_sigreturn. These are
// single steps here, because no part of them reads patched text: a program can observe only their
// stack layout and what serialises in them.

import type { Addr } from '../../base/addr.js';
import { UCONTEXT } from '../../base/linux.js';
import { SIGFRAME } from './sigframe.js';
import { FLAG, REG, REG_NAMES, SELECTOR } from './cpu.js';
import { Crash, Unknown, newContext, type ContextKind, type Interrupted } from './context.js';
import { PERCPU } from '../../trap/kernel.js';

export const EVENTS = [
  'irq',
  'nmi',
  'mc',
  'db',
  'signal',
  'ipi',
  'serialise',
  'left',
  'stop',
  'release',
  'release-serialise',
  'pass',
] as const;
export type Event = (typeof EVENTS)[number];

/** More than any program nests them that keeps its stack. */
const CONTEXTS_MAX = 12;

function enter(core: Interrupted, kind: ContextKind, rsp: Addr, ssp: Addr | null): void {
  if (core.contexts.length === CONTEXTS_MAX)
    throw new Unknown(`more than ${CONTEXTS_MAX} interrupts inside each other`);
  core.contexts.push(newContext(kind, rsp, ssp));
}

/** False where the CPU cannot take it now. */
export function deliver(core: Interrupted, event: Event): boolean {
  const { fixture } = core;
  switch (event) {
    case 'ipi':
      // The handler serialises and then acknowledges. That it serialises once more on its way out
      // adds nothing, because the sender stores nothing before it has the acknowledgement.
      if (!fixture.rules.serialiseFirst) core.put('unserialised', true);
      else if (fixture.rules.serialising.has('ipi')) core.serialise();
      return true;
    case 'serialise':
      core.put('unserialised', false);
      core.serialise();
      return true;
    case 'left':
      return true;
    case 'stop':
      if (core.is('patching')) holdInterrupts(core, true);
      else core.put('stopped', true);
      return true;
    case 'release':
    case 'release-serialise':
      if (core.is('patching')) holdInterrupts(core, false);
      else core.put('stopped', false);
      if (event === 'release-serialise') core.serialise();
      return true;
    case 'pass':
      core.rip = fixture.ownPass;
      return true;
    case 'irq':
      if (!core.on || core.is('stopped')) return false;
      interrupt(core, 'irq', fixture.gates.irq, null);
      return true;
    case 'nmi':
      return nonMaskable(core);
    case 'mc':
    case 'db':
      if (core.contexts.some(({ kind }) => kind === event)) return false;
      interrupt(core, event, fixture.gates[event], fixture.ist(event, 0));
      return true;
    case 'signal':
      if (core.is('asyncBlocked') || core.is('trapped') || core.is('stopped')) return false;
      signal(core, 'signal', fixture.gates.signal);
      return true;
  }
}

/**
 * The CPU that stops the others has interrupts off, as they have (stop_machine.c, multi_cpu_stop).
 * A thread that stops the others still takes its own signals.
 */
function holdInterrupts(core: Interrupted, off: boolean): void {
  if (core.fixture.environment === 'user') return;
  core.cpu.flags = off ? core.cpu.flags & ~FLAG.if : core.cpu.flags | FLAG.if;
  core.write(core.fixture.gsBase + PERCPU.lockdep, 8, off ? 0n : 1n);
}

/**
 * NMI is blocked until the next IRET, whichever event that IRET ends (SDM volume 3, 6.7.1). When
 * such an early IRET lets in a second NMI, Linux marks it and runs the body again (entry_64.S,
 * repeat_nmi).
 */
function nonMaskable(core: Interrupted): boolean {
  const { fixture } = core;
  if (core.is('nmiBlocked')) return false;
  if (core.nmiLevel === 0 || fixture.nmiRaw) {
    if (core.nmiLevel === 2) return false;
    interrupt(core, 'nmi', fixture.gates.nmi, fixture.ist('nmi', core.nmiLevel));
    core.nmiLevel++;
    core.put('nmiBlocked', fixture.rules.nmiHeldBack);
    return true;
  }
  // In the last instructions of the first NMI a mark would be missed; Linux knows them by
  // their address. An NMI there equals one that arrives just after them.
  if (fixture.isNmiTail(core.rip)) return false;
  const repeat = fixture.gsBase + PERCPU.repeat;
  if (core.read(repeat, 8) !== 0n) return false;
  core.write(repeat, 8, 1n);
  core.serialise();
  return true;
}

/** RSP is aligned to 16, then SS, RSP, RFLAGS, CS and RIP are pushed; the gate clears IF. */
function interrupt(core: Interrupted, kind: ContextKind, gate: Addr, stack: Addr | null): void {
  const { cpu, fixture } = core;
  const old = core.rsp;
  const shadow = cpu.ssp;
  core.rsp = stack ?? Math.floor(old / 16) * 16;
  core.push(BigInt(SELECTOR.kernelData));
  core.push(BigInt.asUintN(64, BigInt(old)));
  core.push(BigInt(cpu.flags));
  core.push(BigInt(SELECTOR.kernelCode));
  core.push(BigInt.asUintN(64, BigInt(core.rip)));
  if (shadow !== null) {
    // SDM volume 3, 17.2.5: an IST event goes to a shadow stack of its own; the frame there is CS,
    // LIP, SSP.
    const ssp =
      stack === null ? shadow : fixture.shadowIst(kind, kind === 'nmi' ? core.nmiLevel : 0);
    [
      BigInt(SELECTOR.kernelCode),
      BigInt.asUintN(64, BigInt(core.rip)),
      BigInt.asUintN(64, BigInt(shadow)),
    ].forEach((value, i) => core.write(ssp - 8 * (i + 1), 8, value));
    cpu.ssp = ssp - 24;
  }
  enter(core, kind, old, shadow);
  cpu.flags &= ~(FLAG.if | FLAG.tf | FLAG.nt | FLAG.rf);
  core.rip = gate;
  if (fixture.rules.serialising.has('interrupt')) core.serialise();
}

/** An int3 retires; RIP is behind it. */
export function trap(core: Interrupted): void {
  const { fixture } = core;
  core.drain();
  if (fixture.environment === 'kernel') {
    interrupt(core, 'trap', fixture.gates.trap, null);
    return;
  }
  if (core.is('trapBlocked'))
    throw new Crash('trap-blocked', 'an int3 while SIGTRAP is blocked kills the process');
  core.put('trapped', true);
}

/** IRET: back to what was interrupted; NMI may come again. It serialises. */
export function leave(core: Interrupted): void {
  const gone = core.contexts.pop();
  if (gone === undefined || core.contexts.length === 0)
    throw new Crash('iret-without-event', 'IRET without an event to return from');
  if (gone.site >= 0)
    core.fault('interrupt-ends-in-pass', 'the interrupt returned in the middle of its pass');
  if (gone.kind === 'nmi') core.nmiLevel--;
  core.put('nmiBlocked', false);
  if (core.fixture.rules.serialising.has('iret')) core.serialise();
}

/** The kernel leaves the exception for the SIGTRAP handler, by IRET. */
export function deliverTrap(core: Interrupted): void {
  core.put('trapped', false);
  signal(core, 'trap', core.fixture.gates.trap);
}

/**
 * A signal frame below the red zone, as the kernel builds it (arch/x86/kernel/signal_64.c), without
 * the vector state.
 */
function signal(core: Interrupted, kind: 'trap' | 'signal', handler: Addr): void {
  const { cpu, fixture } = core;
  const old = core.rsp;
  const frame = Math.floor((old - 128 - SIGFRAME.size) / 16) * 16 - 8;
  const uc = frame + SIGFRAME.ucontext;
  const info = frame + SIGFRAME.siginfo;
  const mask = (core.is('asyncBlocked') ? 1n : 0n) | (core.is('trapBlocked') ? 2n : 0n);
  core.write(frame, 8, BigInt(fixture.restorer));
  for (const name of REG_NAMES) core.write(uc + UCONTEXT[name], 8, cpu.r[REG[name]]);
  core.write(uc + UCONTEXT.rip, 8, BigInt(core.rip));
  core.write(uc + UCONTEXT.flags, 8, BigInt(cpu.flags));
  core.write(uc + UCONTEXT.mask, 8, mask);
  core.write(info, 4, kind === 'trap' ? 5n : 10n);
  core.write(info + 8, 4, kind === 'trap' ? 0x80n : 0n);
  enter(core, kind, old, cpu.ssp);
  core.called(frame); // the kernel made the return into the restorer, and no protocol
  core.rsp = frame;
  cpu.r[7] = kind === 'trap' ? 5n : 10n;
  cpu.r[6] = BigInt(info);
  cpu.r[2] = BigInt(uc);
  core.rip = handler;
  if (kind === 'signal') core.put('asyncBlocked', true);
  if (kind === 'trap' && !fixture.rules.nodefer) core.put('trapBlocked', true);
  if (cpu.ssp !== null) {
    // shstk_setup: a token (old SSP with bit 63), then the restorer's address.
    core.write(cpu.ssp - 8, 8, BigInt(cpu.ssp) | (1n << 63n));
    core.write(cpu.ssp - 16, 8, BigInt(fixture.restorer));
    cpu.ssp -= 16;
  }
  if (fixture.rules.serialising.has('delivery')) core.serialise();
}

const RT_SIGRETURN = 15n;

/**
 * rt_sigreturn.
 * @param wait a return to the first instruction of a target must be the first action of its step
 * @returns true where it has to wait; nothing has changed then
 */
export function systemCall(core: Interrupted, wait: boolean): boolean {
  const { cpu, fixture } = core;
  if (cpu.r[0] !== RT_SIGRETURN)
    throw new Crash(
      'handler-gives-up',
      `system call ${String(cpu.r[0])}: the handler gave a trap up`,
    );
  const uc = core.rsp;
  const rip = Number(core.read(uc + UCONTEXT.rip, 8));
  if (wait && fixture.target(rip) >= 0) {
    core.rip -= 2;
    return true;
  }
  const gone = core.contexts.pop();
  if (gone === undefined || core.contexts.length === 0)
    throw new Crash('sigreturn-without-signal', 'rt_sigreturn without a signal');
  if (gone.site >= 0)
    core.fault('signal-ends-in-pass', 'the signal handler returned in the middle of its pass');
  if (cpu.ssp !== null) {
    const token = core.read(cpu.ssp, 8);
    if (token >> 63n !== 1n)
      throw new Crash('token-missing', 'rt_sigreturn finds no token on the shadow stack');
    cpu.ssp = Number(BigInt.asUintN(63, token));
  }
  for (const name of REG_NAMES) cpu.r[REG[name]] = core.read(uc + UCONTEXT[name], 8);
  cpu.flags = Number(core.read(uc + UCONTEXT.flags, 8));
  const mask = core.read(uc + UCONTEXT.mask, 8);
  core.put('asyncBlocked', (mask & 1n) !== 0n);
  core.put('trapBlocked', (mask & 2n) !== 0n);
  if (rip < 0) throw new Unknown('rt_sigreturn to a kernel address');
  core.rip = rip;
  core.drain();
  if (fixture.rules.serialising.has('sigreturn')) core.serialise();
  return false;
}
