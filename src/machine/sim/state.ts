// One CPU and the task on it, as it stands between two instructions: registers, private memory,
// what is nested on it, its store buffer, and what it has fetched and not yet executed.

import { addrAt, bitsFromAddr, type Addr } from '../../base/addr.js';
import { invariant } from '../../base/invariant.js';
import { BIT, type Context, type CoreBit } from './context.js';
import { FLAG, REG, newCpu, type Cpu } from './cpu.js';
import type { Fixture } from './fixture.js';
import { PrivateMemory } from './private.js';
import type { Write } from './space.js';

export class State {
  readonly fixture: Fixture;
  readonly cpu: Cpu;
  /** The registers as 32-bit halves, the low one first. */
  readonly registers32: Uint32Array;
  readonly memory: PrivateMemory;
  contexts: Context[] = [];
  bits = 0;
  nmiLevel = 0;
  buffer: Write[] = [];
  /** Bytes fetched and not yet retired. */
  pending: readonly number[] | null = null;

  constructor(fixture: Fixture) {
    this.fixture = fixture;
    this.cpu = newCpu(fixture.environment === 'user');
    this.cpu.gsBase = fixture.gsBase;
    this.cpu.wrss = fixture.shadowStacks;
    this.registers32 = this.cpu.halves;
    this.memory = new PrivateMemory(fixture.regions);
  }

  get rip(): Addr {
    return this.cpu.rip;
  }
  set rip(at: Addr) {
    this.cpu.rip = at;
  }
  get rsp(): Addr {
    return addrAt(this.registers32, 2 * REG.rsp);
  }
  set rsp(at: Addr) {
    this.cpu.r[REG.rsp] = bitsFromAddr(at);
  }
  /** RFLAGS.IF. */
  get on(): boolean {
    return (this.cpu.flags & FLAG.if) !== 0;
  }
  is(bit: CoreBit): boolean {
    return (this.bits & BIT[bit]) !== 0;
  }
  put(bit: CoreBit, value: boolean): void {
    this.bits = value ? this.bits | BIT[bit] : this.bits & ~BIT[bit];
  }

  get top(): Context {
    const context = this.contexts.at(-1);
    invariant(context, 'a core has at least its task');
    return context;
  }
  get level(): number {
    return this.contexts.length - 1;
  }
  /** Only the task runs, and nothing that interrupted it. */
  get inTask(): boolean {
    return this.contexts.length === 1;
  }
  /**
   * Stopped, and nothing runs here. In a kernel what cannot be masked still interrupts a stopped
   * CPU. A stopped thread is stopped whole, in a signal handler too.
   */
  get stands(): boolean {
    return this.is('stopped') && (this.fixture.environment === 'user' || this.inTask);
  }
  /** The level of the innermost context with a pass under way, which an emulation here is for. */
  get emulated(): number {
    return this.contexts.findLastIndex(({ site }) => site >= 0);
  }
  /**
   * Which emulated call runs here: its context's level and which of its passes it is; 0 for none.
   */
  get owner(): number {
    const level = this.emulated;
    return level < 0 ? 0 : ((this.contexts[level]!.passes & 0xff) << 4) | (level + 1);
  }
}
