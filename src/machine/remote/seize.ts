// Which thread of a program is stopped, and that it is one whose registers may be exchanged where
// it stands. Any other is let go again as it was.

import type { Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { SYS } from '../../base/linux.js';
import { readProcOrNone } from '../linux/proc.js';
import { ANY, BEST, candidates, CLEAN, FOUND_AGAIN, rankOf } from './choose.js';
import { REGISTER, type Door } from './door.js';
import { epollAgain, resumption, type ThreadState } from './frame.js';
import { pause } from './pause.js';
import { targetGone, type Target, type ThreadLook } from './target.js';

export interface Stopped extends ThreadState {
  readonly id: number;
  readonly began: number;
}

/** The segment of 64-bit code. */
const LONG_MODE = 0x33n;
/** How old a look at all threads may be, ms. */
const LOOK_AGAIN_MS = 100;
/**
 * How long a thread is looked for that notices nothing, and how long any; and how long another tool
 * may have one, ms.
 */
const PATIENCE_MS = { clean: 100, any: 3000, tracer: 1000 } as const;

export const word = (state: Pick<ThreadState, 'registers'>, name: keyof typeof REGISTER): bigint =>
  state.registers[REGISTER[name]] ?? 0n;

const isInCall = (state: ThreadState): boolean =>
  BigInt.asIntN(64, word(state, 'originalRax')) >= 0n;

/** Whether a thread stands, or has its stack, where a predicate says. */
const isThere = (registers: BigUint64Array, inside: (at: Addr) => boolean): boolean =>
  inside(Number(registers[REGISTER.rip])) || inside(Number(registers[REGISTER.rsp]));

export class Seizer {
  readonly #target: Target;
  readonly #door: Door;
  /** Which thread was found best when all were last looked at. */
  #chosen = { id: 0, rank: 0, looked: -Infinity };
  /** The registers that a thread had last, and whether it was found fit in a system call. */
  #last: { readonly registers: BigUint64Array; readonly fit: boolean } = {
    registers: new BigUint64Array(0),
    fit: false,
  };

  constructor(target: Target, door: Door) {
    this.#target = target;
    this.#door = door;
  }

  /**
   * @param last the thread that was borrowed last: if it still sleeps for no fixed time no other is
   *   looked at, because each look costs as much as stopping one
   * @throws Fault `traced`, `target-stopped`, `no-thread`, `target-gone`
   */
  stop(fits: (state: ThreadState) => boolean, last: ThreadLook | null = null): Stopped {
    const first = performance.now();
    for (let pass = 0; ; pass++) {
      const waited = performance.now() - first;
      const again = pass === 0 && last !== null && candidates([last], BEST).length > 0;
      const looks = again ? [last] : this.#looks();
      for (const { id } of candidates(looks, waited < PATIENCE_MS.clean ? CLEAN : ANY)) {
        const began = performance.now();
        const found = this.#door.stop(id);
        if (found === 'gone') continue;
        if (found !== 'stopped') {
          this.refuse(found, waited);
          continue;
        }
        const state = this.#state(id);
        const clean = resumption(state.registers).clean || waited >= PATIENCE_MS.clean;
        if (clean && this.#fits(id, state) && fits(state)) {
          const look = looks.find((each) => each.id === id);
          if (!again && look) this.#chosen = { id, rank: rankOf(look) ?? 0, looked: began };
          return { ...state, id, began };
        }
        this.release(id, state.registers);
      }
      if (!this.#target.alive) throw targetGone(this.#target.pid);
      checkStoppable(this.#target);
      if (waited > PATIENCE_MS.any)
        throw noThread(
          this.#target,
          looks.map((look) => look.id),
        );
      pause(1);
    }
  }

  #looks(): ThreadLook[] {
    return this.#target.threadIds().map((id) => this.#target.thread(id));
  }

  /**
   * The thread that was chosen last, if it may be borrowed again. Where there could be a better
   * one, all were looked at a moment ago. That it has left its frame is seen where it is stopped,
   * and it is stopped once: to stop it for that, let it go and stop it again was half of an update.
   * @param sent the thread that was sent last
   * @param inFrame whether an address is where it was sent to
   */
  again(sent: number | null, inFrame: (at: Addr) => boolean): Stopped | null {
    const { id, rank, looked } = this.#chosen;
    if (id !== sent) return null;
    if (rank > BEST && performance.now() - looked > LOOK_AGAIN_MS) return null;
    if ((rankOf(this.#target.again(id)) ?? Infinity) > Math.min(rank, FOUND_AGAIN)) return null;
    const began = performance.now();
    if (this.#door.stop(id) !== 'stopped') return null;
    const state = this.#state(id);
    const { registers } = state;
    if (!isThere(registers, inFrame) && this.#isStillFit(id, state)) return { ...state, id, began };
    this.release(id, registers);
    return null;
  }

  /** What was found of the same registers in a system call holds for every thread. */
  #isStillFit(id: number, state: ThreadState): boolean {
    const { registers } = state;
    if (this.#last.fit && this.#last.registers === registers) return true;
    const fit = resumption(registers).clean && this.#fits(id, state);
    this.#last = { registers, fit: fit && isInCall(state) };
    return fit;
  }

  #state(id: number): ThreadState {
    return this.read(id, (door) => ({
      registers: door.registers(id),
      extended: door.extended(id),
      mask: door.mask(id),
    }));
  }

  /**
   * Whether its registers may be exchanged where it stands. A thread in a system call is in no
   * restartable sequence, which may make none.
   */
  #fits(id: number, state: ThreadState): boolean {
    if (word(state, 'cs') !== LONG_MODE) return false;
    return isInCall(state) || !this.#inSequence(id, Number(word(state, 'rip')));
  }

  /**
   * A restartable sequence (rseq) is begun again by the kernel where a signal interrupts it; it
   * would not be where registers are exchanged. It is some ten instructions long: the thread is
   * tried again.
   */
  #inSequence(id: number, at: Addr): boolean {
    const area = this.#door.rseq(id);
    const sequence = area === 0 ? 0n : (this.#target.word(area + 8) ?? 0n);
    if (sequence === 0n) return false;
    const start = Number(this.#target.word(Number(sequence) + 8) ?? 0n);
    const length = Number(this.#target.word(Number(sequence) + 16) ?? 0n);
    return at >= start && at < start + length;
  }

  /** What is asked of a thread that is stopped; where that is refused, the thread goes on. */
  read<T>(id: number, ask: (door: Door) => T): T {
    try {
      return ask(this.#door);
    } catch (error) {
      this.#door.letGo(id);
      throw error;
    }
  }

  /**
   * Lets a thread go that was only looked at. The kernel begins its system call again, all but
   * epoll_wait, which would return EINTR because it was stopped.
   */
  release(id: number, registers: BigUint64Array): void {
    const again = epollAgain(registers);
    if (again) this.#door.setRegisters(id, again);
    this.#door.letGo(id);
  }

  /** Stops a thread to see whether it is there. @returns also what kept it from stopping */
  isAt(
    id: number,
    inside: (at: Addr) => boolean,
  ): boolean | Exclude<ReturnType<Door['stop']>, 'stopped'> {
    const found = this.#door.stop(id);
    if (found !== 'stopped') return found;
    const registers = this.read(id, (door) => door.registers(id));
    this.release(id, registers);
    return isThere(registers, inside);
  }

  /**
   * Another tool of ours may have the thread, which lets it go within moments; any other tracer
   * stays.
   * @throws Fault `traced`, `target-stopped`, `target-gone`, and `not-yours` where it lasts
   */
  refuse(found: 'group' | 'late' | 'refused', waited: number): void {
    if (found === 'late') return;
    checkStoppable(this.#target);
    if (found === 'refused' && waited > PATIENCE_MS.any)
      throw new Fault(
        'not-yours',
        `the kernel refuses to stop a thread of process ${this.#target.pid}`,
      );
  }
}

/** @throws Fault `traced`, `target-stopped`, `target-gone` */
export function checkStoppable(target: Pick<Target, 'pid' | 'standing'>): void {
  const began = performance.now();
  for (;;) {
    const { state, tracer } = target.standing();
    if (state === 'T')
      throw new Fault('target-stopped', `process ${target.pid} is stopped`, {
        hint: `let it go on: kill -CONT ${target.pid}`,
      });
    // A thread of ours that has not stopped yet is let go as soon as it does.
    if (tracer === 0 || tracer === process.pid) return;
    if (performance.now() - began > PATIENCE_MS.tracer)
      throw new Fault('traced', `process ${tracer}${nameOf(tracer)} traces process ${target.pid}`);
    pause(2);
  }
}

function nameOf(pid: number): string {
  const name = readProcOrNone(`/proc/${pid}/comm`).trim();
  return name === '' ? '' : ` (${name})`;
}

function noThread(target: Target, ids: readonly number[]): Fault {
  const shown = ids.slice(0, 8).map((id) => {
    const { state, sleepsIn } = target.thread(id);
    const call = Object.entries(SYS).find(([, number]) => number === sleepsIn?.call)?.[0];
    return `${id} ${state}${call === undefined ? '' : ` ${call}`}`;
  });
  return new Fault(
    'no-thread',
    `no thread of process ${target.pid} can be borrowed (${shown.join(', ')})`,
  );
}
