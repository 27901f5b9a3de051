// What comes of an instruction beyond its own registers and memory: store buffers drain, interrupts
// are held back, an event is left, and what no program may do is found.

import { unreachable } from '../../base/invariant.js';
import type { Addr } from '../../base/addr.js';
import type { Access } from './access.js';
import { Crash, Unknown } from './context.js';
import type { Outcome } from './cpu.js';
import type { Decoded } from './decoder.js';
import { leave, trap } from './events.js';

/** One instruction, as it was before it was executed. */
export interface Step {
  readonly at: Addr;
  readonly rsp: Addr;
  readonly wasOn: boolean;
  readonly key: Decoded['key'];
}

/** What the outcome of an instruction does beyond its own registers and memory. */
export function act(core: Access, executed: Exclude<Outcome, 'syscall'>, step: Step): void {
  const { rules } = core.fixture;
  switch (executed) {
    case 'next':
    case 'swapgs':
    case 'cli':
    case 'jump':
    case 'call':
      break;
    case 'popf':
      core.put('shadow', !rules.shadowOfStiAlone && !step.wasOn && core.on);
      break;
    case 'sti':
      core.put('shadow', rules.stiShadow && !step.wasOn);
      break;
    case 'jump-indirect':
    case 'call-indirect':
      judgeIndirect(core, executed === 'jump-indirect' ? 'jump' : 'call', step.at);
      break;
    case 'return':
      judgeReturn(core, step);
      break;
    case 'fence':
      if (rules.draining.has('fence')) core.drain();
      break;
    case 'serialise':
      if (rules.draining.has('serialise')) core.drain();
      if (rules.serialising.has('instruction')) core.serialise();
      break;
    case 'iret':
      interruptReturn(core, step.wasOn);
      break;
    case 'int3':
      trap(core);
      break;
    case 'undefined':
    case 'general-protection':
    case 'control-protection':
      throw exception(core, executed, step);
    case 'halt':
      throw new Unknown('HLT');
    case 'sysret':
      throw new Unknown('SYSRET');
    default:
      unreachable(executed);
  }
}

/** IRET. */
function interruptReturn(core: Access, wasOn: boolean): void {
  core.drain();
  leave(core);
  const shadowed = !core.fixture.rules.shadowOfStiAlone && !wasOn;
  core.put('shadow', core.on && (shadowed || core.is('held')));
  core.put('held', false);
}

function exception(
  { fixture }: Access,
  what: 'undefined' | 'general-protection' | 'control-protection',
  { at, key }: Step,
): Crash {
  switch (what) {
    case 'undefined':
      return fixture.isUnclaimed(at)
        ? new Crash('trap-unclaimed', 'a trap that the protocol planted is claimed by nobody')
        : new Crash('exception-ud', `#UD at ${fixture.nameOf(at)}`);
    case 'general-protection':
      return new Crash(
        'exception-gp',
        `#GP at ${fixture.nameOf(at)}${key === 'iretq' ? ': the exception frame is damaged' : ''}`,
      );
    case 'control-protection':
      return new Crash('exception-cp', `#CP at ${fixture.nameOf(at)}`);
  }
}

function judgeIndirect(core: Access, what: 'jump' | 'call', at: Addr): void {
  if (!core.fixture.isRetpoline(at))
    core.fault('branch-indirect', `an indirect ${what} at ${core.fixture.nameOf(at)}`);
}

function judgeReturn(core: Access, { at, rsp }: Step): void {
  const word = core.wordAt(rsp);
  if ((core.memory.tags[word]! & 1) === 0 && !core.fixture.isRetpoline(at))
    core.fault('return-unmatched', `a return at ${core.fixture.nameOf(at)} that matches no call`);
  core.memory.tags[word] = 0;
}
