// Judges what lies in the CPU itself: stack, flags, lockdep, stashes and the call chain, at every
// instruction. What depends on the time, such as which target is current, it only notes for
// model.ts to judge.

import { addrAt, hex, type Addr } from '../../base/addr.js';
import { UCONTEXT } from '../../base/linux.js';
import { NO_SITE, Unknown, type Journal } from './context.js';
import { REG, REG_NAMES, type RegName } from './cpu.js';
import { WordTable } from './intern.js';
import { TARGETS, type Bound } from './settings.js';
import { bad, isDamage, type Breach } from './promises.js';
import { SENTINEL } from './programs.js';
import { condition } from './semantics.js';
import type { FixtureSite } from './sites.js';
import type { State } from './state.js';

/** In place of the identity of a call that is over. */
const STALE = 0xfff;
/** How far a chain of calls is followed. */
const CHAIN_MAX = 32;

/** R11 may change at a call (psABI 3.2.1); RSP is judged apart. */
const KEPT_BY_CALL: readonly RegName[] = REG_NAMES.filter(
  (name) => name !== 'rsp' && name !== 'r11',
);
const CALLEE_SAVED: readonly RegName[] = ['rbx', 'rbp', 'r12', 'r13', 'r14', 'r15'];

/** Words of a snapshot: the registers, then a set of FACT, then the stack from RSP up. */
const SNAPSHOT = { registers: 0, facts: 32, stack: 33 } as const;
/** IF was set; the site is a conditional jump whose condition is false. */
const FACT = { on: 1, untaken: 2 } as const;

const onOff = (on: boolean): string => (on ? 'on' : 'off');

export class Judge {
  readonly #state: State;
  /** Of registers and stack at the beginning of a pass. */
  readonly #snapshots = new WordTable();
  readonly #scratch = new Uint32Array(8192);
  /** Where findings and notes go: those of the macro-step under way. */
  journal: Journal;

  constructor(state: State, journal: Journal) {
    this.#state = state;
    this.journal = journal;
  }

  fault(breach: Breach, text: string): void {
    // A damaged CPU may break the same promise thousands of times in one macro-step.
    if (this.journal.bad.some((known) => known.breach === breach)) return;
    this.journal.bad.push(bad(breach, text));
    if (isDamage(breach)) this.#state.put('damaged', true);
  }

  /** The call that is made, or emulated, here begins now. */
  begin(): void {
    const level = this.#state.emulated;
    if (level >= 0) this.journal.notes.push({ note: 'begin', level });
  }

  /** A later instruction of the same text is fetched, which may decide what the pass runs. */
  goOn(): void {
    this.journal.notes.push({ note: 'go-on', level: this.#state.level });
  }

  /**
   * The pass over `site` opens with its first fetch. A later fetch of the same site, before a
   * target was entered, opens nothing: an event threw the first one away, or the handler retries.
   */
  open(site: number): void {
    const { top, level, fixture } = this.#state;
    if (top.site === site && top.entered === 0) return;
    this.abandoned();
    top.snapshot = this.#snapshot(fixture.sites[site]!);
    top.site = site;
    top.entered = 0;
    this.#count();
    this.journal.notes.push({ note: 'open', level });
  }

  /**
   * A pass has a number only for what was stashed for it, and where a task stays on its CPU the
   * level of its context says as much: what was stashed for an earlier pass of that level was
   * marked at the end of that pass (`#forgetStashes`). So a program without end counts no passes,
   * but those of a damaged CPU, which could otherwise run for ever.
   */
  #count(): void {
    const { top, fixture } = this.#state;
    const { passes, updates } = fixture.options;
    const damaged = this.#state.is('damaged');
    const stays = fixture.stash.size === 0 || !fixture.events.preempt;
    const endless = passes === 'any' && stays;
    if (endless && !damaged) return;
    top.passes = (top.passes + 1) & 0xff;
    if (damaged && top.passes > Math.max(mostOf(passes), mostOf(updates)))
      throw new Unknown('more passes than the program makes');
  }

  /** A pass is under way where the program begins another one, or ends. */
  abandoned(): void {
    const { top, fixture } = this.#state;
    if (top.site < 0) return;
    const { at } = fixture.sites[top.site]!;
    this.fault('pass-abandoned', `the pass over ${fixture.nameOf(at)} never comes back to its end`);
  }

  #snapshot({ kind, condition: code }: FixtureSite): number {
    const { registers32, memory, on, rsp, cpu } = this.#state;
    const untaken = kind === 'jcc' && !condition(cpu.flags, code);
    const words = this.#scratch;
    words.set(registers32, SNAPSHOT.registers);
    words[SNAPSHOT.facts] = (on ? FACT.on : 0) | (untaken ? FACT.untaken : 0);
    let length: number = SNAPSHOT.stack;
    const region = memory.region(rsp, 8);
    if (region !== null) {
      const from = 2 * (region.first + (rsp - region.at) / 8);
      const stack = memory.halves.subarray(from, 2 * (region.first + region.bytes / 8));
      words.set(stack, length);
      length += stack.length;
    }
    return this.#snapshots.intern(words, length);
  }

  /** Control has come to the first instruction of a target. */
  enter(target: number): void {
    const { top, level, on, registers32, fixture } = this.#state;
    if (top.site < 0) {
      this.fault('target-uncalled', 'a target is entered that no pass called');
      return;
    }
    if (top.entered > 0) {
      this.fault('target-second', 'one pass enters a second target');
      return;
    }
    top.entered = 1;
    this.journal.notes.push({ note: 'enter', level, target });
    const { at, own } = fixture.sites[top.site]!;
    if ((own & (1 << target)) === 0)
      this.fault(
        'target-of-another-key',
        `${fixture.nameOf(at)} runs ${TARGETS[target]}, which is a target of the other key`,
      );
    const then = this.#snapshots.get(top.snapshot);
    this.#judgeStack(fixture.sites[top.site]!, then);
    const was = (then[SNAPSHOT.facts]! & FACT.on) !== 0;
    if (was !== on)
      this.fault(
        'if-at-entry',
        `interrupts are ${onOff(on)} on entry to the target, ` +
          `and were ${onOff(was)} before the site`,
      );
    const { changes } = fixture.sites[top.site]!;
    for (const name of KEPT_BY_CALL)
      if (!changes.has(name) && !isKept(name, registers32, then))
        this.fault('register-at-entry', `register ${REG[name]} was changed before the target`);
    this.probe();
  }

  /** The stack on entry to a target, against what a real call leaves. */
  #judgeStack(site: FixtureSite, then: Uint32Array): void {
    const { rsp, memory } = this.#state;
    const rspThen = addrAt(then, 2 * REG.rsp);
    const calls = site.kind === 'call';
    const expected = calls ? rspThen - 8 : rspThen;
    if (rsp !== expected)
      this.fault(
        'rsp-at-entry',
        `the stack pointer is ${rsp - expected} bytes off on entry to the target`,
      );
    else if (calls) {
      const back = memory.peek(rsp);
      if (!site.returns.has(back - site.at))
        this.fault('return-address', `the return address is ${hex(back)}, not the end of the site`);
    }
    if (!this.#isSameAbove(then, rspThen))
      this.fault('stack-above', 'the stack above the call was changed');
  }

  #isSameAbove(then: Uint32Array, rsp: Addr): boolean {
    const { memory } = this.#state;
    const region = memory.region(rsp, 8);
    if (region === null) return false;
    const from = 2 * (region.first + (rsp - region.at) / 8);
    const to = 2 * (region.first + region.bytes / 8);
    for (let i = from; i < to; i++)
      if (memory.halves[i] !== then[SNAPSHOT.stack + i - from]) return false;
    return true;
  }

  /** lockdep's idea of IF against IF itself, where code of the program may ask. */
  probe(): void {
    const { fixture, top, memory, on } = this.#state;
    if (fixture.environment !== 'kernel' || (top.kind !== 'task' && top.kind !== 'irq')) return;
    const believed = memory.words[fixture.lockdepWord] !== 0n;
    if (believed !== on)
      this.fault(
        'lockdep-disagrees',
        `lockdep believes interrupts are ${onOff(believed)}, and they are ${onOff(on)}`,
      );
  }

  /** What was stashed in a word of the per-CPU area is used. */
  checkStash(word: number): void {
    const { fixture, memory, owner } = this.#state;
    if (!fixture.stash.has(word)) return;
    const tag = memory.tags[word]! >>> 1;
    if (tag !== 0 && tag !== owner)
      this.fault('stash-of-another', 'data stashed for another emulated call is used for this one');
  }

  /** A word that describes one site at a time is used, where it describes another one. */
  checkGlobal(word: number, value: bigint): void {
    const { contexts, emulated, fixture } = this.#state;
    const described = fixture.shared.globals.get(word)?.[contexts[emulated]?.site ?? NO_SITE];
    if (described !== undefined && !described.has(value))
      this.fault(
        'globals-of-another',
        'data published for the calls of another site are used for this one',
      );
  }

  /**
   * The chain of calls from here, by the rules that each code says of itself, to the end of the
   * task or to entry code.
   */
  unwind(): void {
    const { fixture, cpu, memory, rsp } = this.#state;
    let at = cpu.rip;
    const start = fixture.rule(at);
    if (start === 'exempt' || fixture.isEntry(at)) return;
    let sp = rsp;
    // A return address belongs to the call before it, an interrupted instruction is its own: the
    // difference that ORC makes by its `signal` field (arch/x86/include/asm/orc_types.h).
    let behind = 0;
    for (let depth = 0; depth < CHAIN_MAX; depth++) {
      if (Number.isNaN(at) || Number.isNaN(sp)) {
        this.fault('chain-leaves-stack', 'the chain of calls leaves the stack');
        return;
      }
      if (fixture.isBottom(at) || (behind === 0 && fixture.isEntry(at))) return;
      if (at === fixture.restorer) {
        at = memory.peek(sp + UCONTEXT.rip);
        sp = memory.peek(sp + UCONTEXT.rsp);
        behind = 0;
        continue;
      }
      const rule = depth === 0 ? start : fixture.rule(at - behind);
      if (rule === 'exempt') return;
      if (rule === null || rule.kind === 'none') {
        this.fault('chain-without-rule', `no rule finds the caller of ${fixture.nameOf(at)}`);
        return;
      }
      const frame = (depth === 0 ? addrAt(cpu.halves, 2 * REG[rule.base]) : sp) + rule.offset;
      if (rule.kind === 'call') {
        at = memory.peek(frame - 8);
        sp = frame;
        behind = 1;
      } else {
        at = memory.peek(frame);
        sp = memory.peek(frame + 24);
        behind = 0;
      }
    }
    this.fault('chain-endless', 'the chain of calls does not end');
  }

  /** Whether the instruction after the site is reached in the context that began the pass. */
  close(): void {
    const { top, level, fixture, rip, rsp, on, cpu, registers32, memory } = this.#state;
    if (top.site < 0) return;
    const site = fixture.sites[top.site]!;
    const calls = site.kind === 'call';
    if (calls && rip !== site.at + site.length) return;
    const then = this.#snapshots.get(top.snapshot);
    if (!calls && rip !== addrAt(then, SNAPSHOT.stack)) return;
    const rspThen = addrAt(then, 2 * REG.rsp);
    const expected = calls ? rspThen : rspThen + 8;
    if (rsp !== expected)
      this.fault(
        'rsp-after-return',
        `the stack pointer is ${rsp - expected} bytes off after the return`,
      );
    if (fixture.options.text?.leaf === true && memory.peek(rspThen - 8) !== SENTINEL)
      this.fault('red-zone', 'what the function kept below its stack pointer was overwritten');
    for (const name of CALLEE_SAVED)
      if (!isKept(name, registers32, then))
        this.fault('callee-saved', `callee-saved register ${REG[name]} was changed`);
    const was = (then[SNAPSHOT.facts]! & FACT.on) !== 0;
    if (was !== on)
      this.fault(
        'if-after-pass',
        `interrupts are ${onOff(on)} after the pass, and were ${onOff(was)} before`,
      );
    const untaken = (then[SNAPSHOT.facts]! & FACT.untaken) !== 0;
    const returns0 = cpu.r[REG.rax] === 0n;
    if (untaken && (top.entered > 0 || returns0))
      this.fault('jump-untaken', 'the condition is false, and the site jumps all the same');
    const without = returns0 ? 'ret0' : 'null';
    const ran = top.entered > 0 ? 'target' : without;
    this.journal.notes.push({ note: 'close', level, ran: untaken ? 'nothing' : ran });
    this.#forgetStashes();
    top.site = NO_SITE;
    top.entered = 0;
    top.snapshot = 0;
  }

  /**
   * What was stashed for this call is dead now: a call that still reads it reads another call's
   * data, whatever the value.
   */
  #forgetStashes(): void {
    const { fixture, memory, owner } = this.#state;
    for (const word of fixture.stash) {
      if (memory.tags[word] !== owner << 1) continue;
      memory.words[word] = 0n;
      memory.tags[word] = STALE << 1;
    }
  }
}

/** How many passes of a damaged CPU are followed. */
const mostOf = (bound: Bound): number => (bound === 'any' ? 2 : bound);

function isKept(name: RegName, now: Uint32Array, then: Uint32Array): boolean {
  const i = 2 * REG[name];
  return now[i] === then[i] && now[i + 1] === then[i + 1];
}
