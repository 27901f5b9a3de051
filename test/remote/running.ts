// A program that runs while a test changes it from outside, and what can be seen of it.

import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { look } from '#app/look';
import { must, type Folder } from '../build.js';
import { making, type Mistake } from '../mistake/mistake.js';
import { INCLUDE } from '../process/programs.js';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** What a program says of itself. */
export interface Report {
  readonly calls: number;
  readonly wrong: number;
  readonly interrupted: number;
  /** Threads that found their mask, alternate stack or vector registers changed. */
  readonly disturbed: number;
  readonly hooked: number;
  /** What `route` makes of 1: 3, 5 or 7 by its target. */
  readonly route: number;
  /** Whether SIGTRAP has a handler with a way back. */
  readonly returns: number;
  /** How often a handler of its own was called for SIGTRAP. */
  readonly trapped: number;
  /** What `route` makes of 1 where an object calls it that was loaded later; 0 where none was. */
  readonly plugged: number;
}

export function compileTarget(
  folder: Folder,
  name: string,
  flags: readonly string[] = [],
  compiler = 'gcc',
): string {
  const output = folder.file(`${name.replace(/\.c$/, '')}-${compiled++}`);
  must(compiler, [
    '-O2',
    '-Wall',
    `-I${INCLUDE}`,
    here(`./programs/${name}`),
    '-o',
    output,
    '-pthread',
    ...flags,
  ]);
  return output;
}

let compiled = 0;

/** What must be as it was, but for the mappings that are named after us. */
export interface State {
  readonly tasks: number;
  readonly masks: readonly string[];
  readonly files: readonly string[];
  readonly maps: readonly string[];
}

export class Running {
  static readonly #started: ChildProcess[] = [];
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#reader = createInterface({ input: child.stdout! });
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  /** Returns when its threads run. */
  static async start(
    program: string,
    args: readonly string[] = [],
    env: Record<string, string> = {},
    uid?: number,
  ): Promise<Running> {
    const child = spawn(program, args, {
      stdio: ['pipe', 'pipe', 'inherit'],
      ...(uid === undefined ? {} : { uid, gid: uid }),
      env: { ...process.env, ...env },
    });
    // A program that has ended reads nothing more.
    child.stdin.on('error', () => {});
    const running = new Running(child);
    Running.#started.push(child);
    await running.#lines.next();
    return running;
  }

  /** A test that failed leaves no hot thread behind for those of other files. */
  static killAll(): void {
    for (const child of Running.#started.splice(0)) child.kill('SIGKILL');
  }

  get pid(): number {
    return this.#child.pid!;
  }
  get alive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  say(command: string): void {
    this.#child.stdin!.write(`${command}\n`);
  }
  async report(): Promise<Report> {
    this.say('report');
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`the program ended: ${this.#child.signalCode}`);
    return JSON.parse(String(value)) as Report;
  }
  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** @returns its exit status, or the signal that it died of */
  async end(): Promise<number | string | null> {
    const ended = new Promise<number | string | null>((resolve) => {
      if (!this.alive) resolve(this.#child.exitCode ?? this.#child.signalCode);
      this.#child.once('exit', (status, signal) => resolve(status ?? signal));
    });
    if (this.alive) {
      this.#child.kill('SIGCONT');
      this.#child.stdin!.end('quit\n');
    }
    const status = await ended;
    this.#reader.close();
    return status;
  }

  state(): State {
    const proc = `/proc/${this.pid}`;
    const tasks = readdirSync(`${proc}/task`);
    const maps = readFileSync(`${proc}/maps`, 'utf8')
      .split('\n')
      .filter((line) => line.includes('/') && !line.includes('static-call'))
      .map((line) => line.slice(line.indexOf('/')));
    return {
      tasks: tasks.length,
      masks: tasks.map((id) => /SigBlk:\t(\w+)/.exec(readStatus(proc, id))![1]!),
      files: readdirSync(`${proc}/fd`).map((fd) => readlinkSync(`${proc}/fd/${fd}`)),
      maps: [...new Set(maps)],
    };
  }

  /** Scratches of tools, attached or killed. */
  get tools(): number {
    return look(this.pid).tools;
  }
  /** How many mappings it has. */
  get mappings(): number {
    return readFileSync(`/proc/${this.pid}/maps`, 'utf8').split('\n').length;
  }
}

const readStatus = (proc: string, id: string): string =>
  readFileSync(`${proc}/task/${id}/status`, 'utf8');

export interface Said {
  readonly fault?: string;
  readonly message?: string;
  readonly updates: number;
  readonly unchanged: number;
  readonly drifts: readonly string[];
  readonly keys?: Record<string, string | null>;
  readonly changes?: readonly { readonly key: string }[];
  readonly steps: readonly string[];
  readonly calls: number;
  readonly objects?: number;
  /** How often a borrowed thread waited in what it was sent to; null where that cannot be told. */
  readonly waited?: number | null;
  readonly signal: string | null;
}

export interface Task {
  readonly do?: readonly (readonly [string, unknown?])[];
  /** A step, by its number or, the first of it, by its name. */
  readonly kill?: number | string;
  readonly refuse?: number;
  readonly stopAt?: number;
  readonly signal?: string;
  readonly watches?: boolean;
  readonly options?: object;
}

const TOOL = here('./children/tool.mjs');

/** Has a process of its own attach to another and do what it is told. */
export function tool(
  pid: number,
  task: Task,
  how: { readonly uid?: number; readonly mistake?: Mistake } = {},
): Said {
  const done = spawnSync(process.execPath, [TOOL, String(pid), JSON.stringify(task)], {
    encoding: 'utf8',
    timeout: 120_000,
    ...(how.uid === undefined ? {} : { uid: how.uid, gid: how.uid }),
    env: { ...process.env, ...(how.mistake && making(how.mistake)) },
  });
  if (done.signal === 'SIGKILL') return { ...NOTHING, signal: done.signal };
  if (done.status !== 0) throw new Error(`the tool ended with ${done.status}: ${done.stderr}`);
  return { ...(JSON.parse(done.stdout) as Said), signal: null };
}
const NOTHING = { updates: 0, unchanged: 0, drifts: [], steps: [], calls: 0 };

/** The same, and does not wait. */
export function toolBeside(pid: number, task: Task): { ended: Promise<Said>; kill(): void } {
  const child = spawn(process.execPath, [TOOL, String(pid), JSON.stringify(task)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.on('data', (data: Buffer) => (text += data.toString()));
  const ended = new Promise<Said>((resolve) => {
    child.once('close', (_, signal) =>
      resolve(signal ? { ...NOTHING, signal } : { ...(JSON.parse(text) as Said), signal: null }),
    );
  });
  return { ended, kill: () => void child.kill('SIGKILL') };
}

/** Whether one process may look into another here: a container may forbid it. */
export function mayAttach(): boolean {
  const child = spawn('sleep', ['600'], { stdio: 'ignore' });
  try {
    if (child.pid === undefined) return false;
    const said = tool(child.pid, {});
    return said.fault === 'no-sites';
  } finally {
    child.kill('SIGKILL');
  }
}
