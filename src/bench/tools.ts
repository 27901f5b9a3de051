// Compilers and the peers' programs: found on the path, started, and named with the package that
// brings them where they are missing. Nothing is downloaded.

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Addr } from '../base/addr.js';
import { Fault } from '../base/fault.js';
import { findCompiler } from '../host/build.js';
import type { Native } from '../machine/linux/native.js';

export type Environment = Readonly<Record<string, string | undefined>>;

export const INCLUDE = fileURLToPath(new URL('../../include', import.meta.url));
export const CLI = fileURLToPath(new URL('../../bin/static-call', import.meta.url));
/** The native halves, which are compiled when the benchmark runs. */
export const SOURCES = fileURLToPath(new URL('../../bench', import.meta.url));

/** First line of what it says of its version, or null if it cannot be started. */
export function versionOf(command: string, env: Environment): string | null {
  const done = spawnSync(command, ['--version'], { encoding: 'utf8', env });
  return done.error || done.status !== 0 ? null : (done.stdout.split('\n')[0] ?? '');
}

/** Loads a measured program. @returns what finds its symbols, or throws Fault `not-loaded` */
export function loaded(native: Native, path: string): (name: string) => Addr {
  const handle = native.load(path);
  return (name) => {
    const at = native.symbol(handle, name);
    if (at === 0)
      throw new Fault('not-loaded', `the measured program has no ${name}`, { at: path });
    return at;
  };
}

/** A folder of generated sources and what was made of them. */
export class Workshop {
  readonly folder: string;
  readonly env: Environment;
  readonly compiler: readonly string[];

  /** @throws Fault `no-compiler` */
  constructor(folder: string, env: Environment) {
    this.folder = folder;
    this.env = env;
    this.compiler = findCompiler(env);
  }

  write(name: string, content: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, content);
    return path;
  }

  /** A shared object. @throws Fault `compile-failed` */
  shared(name: string, source: string, ...flags: readonly string[]): string {
    return this.#compile(join(this.folder, `${name}.so`), [
      ...flags,
      '-fPIC',
      '-shared',
      source,
      '-lpthread',
    ]);
  }
  /** A relocatable object. @throws Fault `compile-failed` */
  object(name: string, source: string): string {
    return this.#compile(join(this.folder, `${name}.o`), ['-fno-pic', '-c', source]);
  }

  /**
   * A program, with a runtime of its own where that is asked for.
   * @throws Fault `compile-failed`
   */
  program(name: string, sources: readonly string[], how: 'plain' | 'runtime'): string {
    const prefix = how === 'runtime' ? [process.execPath, CLI, 'cc', '--runtime', '--'] : [];
    return this.#compile(join(this.folder, name), [...sources, '-lpthread'], prefix);
  }

  #compile(output: string, what: readonly string[], prefix: readonly string[] = []): string {
    const [command, ...words] = [
      ...prefix,
      ...this.compiler,
      '-O2',
      '-g0',
      `-I${INCLUDE}`,
      ...what,
      '-o',
      output,
    ];
    const done = spawnSync(command!, words, { encoding: 'utf8', env: this.env });
    if (done.error || done.status !== 0)
      throw new Fault('compile-failed', `${command} ended with status ${done.status}`, {
        cause: done.error ?? new Error(done.stderr.trim()),
      });
    return output;
  }
}

export interface ObjectsOptions {
  readonly workshop: Workshop;
  readonly env: Environment;
  /** Milliseconds. */
  readonly budget: number;
  readonly signal: AbortSignal;
}
