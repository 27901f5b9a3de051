// Another process, as /proc shows it, and its memory. Everything is read and written through one
// descriptor of /proc/PID/mem: it belongs to the memory that was opened and not to the number, so a
// process that executed another program, or one that was given the number again, is never written.

import { closeSync, openSync, readdirSync, readlinkSync, readSync, writeSync } from 'node:fs';
import { hex, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { TABLE } from '../../trap/registry.js';
import { parseMaps, type Mapping } from '../linux/maps.js';
import { openOrNone, readAgain, readLineOrNone, readProcOrNone } from '../linux/proc.js';

const CANNOT = new Set(['EACCES', 'EPERM']);
const codeOf = (error: unknown): string => String((error as NodeJS.ErrnoException).code ?? error);

/** No list that is read from a target has more entries: it may lie about its lists. */
export const LONGEST_LIST = 10_000;
export const MOST_SITES = 10_000_000;
/** Nor is more read of it at a time. */
const MOST_BYTES = 1 << 30;

export interface ThreadLook {
  readonly id: number;
  /** `R` runs, `S` sleeps, `D` cannot be stopped, `T` and `t` are stopped, `Z` has ended. */
  readonly state: string;
  /** The system call that it sleeps in, in state D too; null where the kernel does not say. */
  readonly sleepsIn: {
    readonly call: number;
    readonly args: readonly bigint[];
    readonly stack: Addr;
  } | null;
}

export class Target {
  readonly pid: number;
  /** In clock ticks since the machine started: with the number it names one process. */
  readonly started: string;
  /** The path of its program, as it sees it. */
  readonly exe: string;
  readonly #memory: number;
  readonly #word: Buffer = Buffer.alloc(8);
  /** The thread that is looked at again and again, and the file that says what it sleeps in. */
  #watched = { id: 0, file: -1, text: '', sleepsIn: null as ThreadLook['sleepsIn'] };
  #closed = false;

  /**
   * Opens the memory of a process; nothing of it is stopped.
   * @throws Fault `no-such-process`, `not-yours`, `ptrace-scope`
   */
  constructor(pid: number) {
    this.pid = pid;
    this.started = startOf(checkAlive(pid));
    this.#memory = openMemory(pid);
    this.exe = linkOf(`/proc/${pid}/exe`);
  }

  /** Whether it still is the process that was opened, and runs the same program. */
  get alive(): boolean {
    const stat = readProcOrNone(`/proc/${this.pid}/stat`);
    const same = stat !== '' && startOf(stat) === this.started && !/^[ZX]/.test(afterName(stat));
    return same && this.#hasMemory();
  }

  /**
   * Memory that was given up, by an exec() too, reads as the end of a file at any address. Where it
   * is not, the first page is not mapped, which is an error.
   */
  #hasMemory(): boolean {
    try {
      return readSync(this.#memory, this.#word, 0, 1, 0) !== 0;
    } catch {
      return true;
    }
  }

  /** @throws Fault `target-gone` */
  read(at: Addr, length: number): Uint8Array {
    if (!(length >= 0 && length <= MOST_BYTES)) throw lies(`a list of ${length} bytes`);
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const some = this.#read(bytes, done, at + done);
      if (some <= 0) throw this.gone(`${hex(at + done)} cannot be read`);
      done += some;
    }
    return bytes;
  }

  #read(bytes: Uint8Array, from: number, at: Addr): number {
    try {
      return readSync(this.#memory, bytes, from, bytes.length - from, at);
    } catch {
      return -1;
    }
  }

  /** Nothing where it cannot be read. */
  readOrNone(at: Addr, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    return this.#read(bytes, 0, at) === length ? bytes : new Uint8Array(0);
  }

  /** Fills a buffer that is there, for what is asked again and again. @returns whether it could */
  fill(bytes: NodeJS.ArrayBufferView, at: Addr): boolean {
    try {
      return readSync(this.#memory, bytes, 0, bytes.byteLength, at) === bytes.byteLength;
    } catch {
      return false;
    }
  }

  /** One word, for what is asked again and again; null where it cannot be read. */
  word(at: Addr): bigint | null {
    try {
      return readSync(this.#memory, this.#word, 0, 8, at) === 8
        ? this.#word.readBigUInt64LE(0)
        : null;
    } catch {
      return null;
    }
  }

  /** @throws Fault `target-gone` */
  write(at: Addr, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      let some = 0;
      try {
        some = writeSync(this.#memory, bytes, done, bytes.length - done, at + done);
      } catch {
        // It is told below.
      }
      if (some <= 0) throw this.gone(`${hex(at + done)} cannot be written`);
      done += some;
    }
  }

  /** Why something failed that a living process has. */
  gone(what: string): Fault {
    return this.alive
      ? new Fault('other-runtime', `${what} in process ${this.pid}`, {
          hint: 'its records point at memory that it does not have; restart it',
        })
      : targetGone(this.pid);
  }

  /** Also where its first thread has ended, whose own list is then empty. */
  maps(): Mapping[] {
    const first = parseMaps(readProcOrNone(`/proc/${this.pid}/maps`));
    if (first.length > 0) return first;
    for (const id of this.threadIds()) {
      const maps = parseMaps(readProcOrNone(`/proc/${this.pid}/task/${id}/maps`));
      if (maps.length > 0) return maps;
    }
    throw targetGone(this.pid);
  }

  threadIds(): number[] {
    try {
      return readdirSync(`/proc/${this.pid}/task`).map(Number);
    } catch {
      throw targetGone(this.pid);
    }
  }

  thread(id: number): ThreadLook {
    const task = `/proc/${this.pid}/task/${id}`;
    const state = afterName(readLineOrNone(`${task}/stat`))[0] ?? 'Z';
    return {
      id,
      state,
      sleepsIn: 'SD'.includes(state) ? callOf(readLineOrNone(`${task}/syscall`)) : null,
    };
  }

  /**
   * What a thread is at, by one call on a file that stays open: `thread` opens two, and takes ten
   * times as long. The file does not tell state D from S. It belongs to the thread and not to its
   * number: that of a thread that has ended reads nothing.
   */
  again(id: number): ThreadLook {
    if (this.#watched.id !== id) this.#watch(id);
    const watched = this.#watched;
    const text = readAgain(watched.file);
    // Mostly it is what it was, and to read the numbers takes longer than the call.
    if (text !== watched.text) this.#watched = { ...watched, text, sleepsIn: callOf(text) };
    const { sleepsIn } = this.#watched;
    return { id, state: text.startsWith('running') ? 'R' : 'S', sleepsIn };
  }

  #watch(id: number): void {
    if (this.#watched.file >= 0) closeSync(this.#watched.file);
    const file = openOrNone(`/proc/${this.pid}/task/${id}/syscall`);
    this.#watched = { id, file, text: '', sleepsIn: null };
  }

  /** Its first thread's state, and who traces it. @throws Fault `target-gone` */
  standing(): { readonly state: string; readonly tracer: number } {
    const status = readProcOrNone(`/proc/${this.pid}/status`);
    if (status === '') throw targetGone(this.pid);
    const [, state = 'Z'] = /^State:\s*(\S)/m.exec(status) ?? [];
    return { state, tracer: Number(/^TracerPid:\s*(\d+)/m.exec(status)?.[1] ?? 0) };
  }

  /** A field of its status, or of one of its threads'. */
  field(name: string, thread?: number): string {
    const path = `/proc/${this.pid}/${thread === undefined ? '' : `task/${thread}/`}status`;
    return new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(readProcOrNone(path))?.[1] ?? '';
  }

  environment(name: string): string | null {
    const entries = readProcOrNone(`/proc/${this.pid}/environ`).split('\0');
    return entries.find((entry) => entry.startsWith(`${name}=`))?.slice(name.length + 1) ?? null;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#memory);
    if (this.#watched.file >= 0) closeSync(this.#watched.file);
  }
}

export const targetGone = (pid: number): Fault =>
  new Fault('target-gone', `process ${pid} has ended, or runs another program now`);

export const lies = (what: string): Fault =>
  new Fault('other-runtime', `the process names ${what}, which no runtime of ours has`, {
    hint: 'its memory is damaged, or it wants to mislead; restart it',
  });

function checkAlive(pid: number): string {
  if (!Number.isSafeInteger(pid) || pid < 1)
    throw new Fault('bad-option', `${pid} is no number of a process`);
  const stat = readProcOrNone(`/proc/${pid}/stat`);
  if (stat === '') throw new Fault('no-such-process', `there is no process ${pid}`);
  if (/^[ZX]/.test(afterName(stat)))
    throw new Fault('no-such-process', `process ${pid} has ended; its parent has not asked for it`);
  const leader = Number(/^Tgid:\s*(\d+)/m.exec(readProcOrNone(`/proc/${pid}/status`))?.[1] ?? pid);
  if (leader !== pid)
    throw new Fault('no-such-process', `${pid} is a thread of process ${leader}`, {
      hint: `name process ${leader}`,
    });
  if (pid === process.pid)
    throw new Fault('bad-option', `${pid} is this very process`, {
      hint: 'a process takes charge of its own objects by open()',
    });
  return stat;
}

function openMemory(pid: number): number {
  try {
    return openSync(`/proc/${pid}/mem`, 'r+');
  } catch (error) {
    const code = codeOf(error);
    if (!CANNOT.has(code)) throw targetGone(pid);
    throw notYours(pid, ownerOf(pid), readProcOrNone('/proc/sys/kernel/yama/ptrace_scope').trim());
  }
}

/** Why the kernel gives no access: another user's, or Yama wants a parent. */
export function notYours(pid: number, owner: number | null, scope: string): Fault {
  const own = process.geteuid?.() ?? -1;
  if (owner === own && Number(scope) > 0)
    return new Fault('ptrace-scope', `Yama allows no access to process ${pid} (scope ${scope})`);
  return new Fault(
    'not-yours',
    owner === own
      ? `process ${pid} is yours, and the kernel protects it from other processes (set-uid, or not dumpable)`
      : `process ${pid} belongs to user ${owner ?? 'unknown'}, and you are ${own}`,
  );
}

function ownerOf(pid: number): number | null {
  const uid = /^Uid:\s*\d+\s+(\d+)/m.exec(readProcOrNone(`/proc/${pid}/status`))?.[1];
  return uid === undefined ? null : Number(uid);
}

/** What follows the name in a stat file; the name may hold anything. */
const afterName = (stat: string): string => stat.slice(stat.lastIndexOf(')') + 2);
const startOf = (stat: string): string => afterName(stat).split(' ')[19] ?? '';

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return path;
  }
}

function callOf(text: string): ThreadLook['sleepsIn'] {
  const [call, ...args] = text.trim().split(' ');
  if (call === undefined || !/^\d+$/.test(call) || args.length < 7) return null;
  return { call: Number(call), args: args.slice(0, 6).map(BigInt), stack: Number(args[6]) };
}

/** A list of tables that the target may have made up. @throws Fault `other-runtime` */
export function checkTables(target: Target, first: Addr): void {
  let tables = 0;
  for (let at = first; at !== 0; tables++) {
    const count = Number(target.word(at + TABLE.count) ?? 0n);
    if (tables > LONGEST_LIST) throw lies('a list without an end');
    if (count < 1 || count > MOST_SITES) throw lies(`a table of ${count} sites`);
    at = Number(target.word(at + TABLE.next) ?? 0n);
  }
}
