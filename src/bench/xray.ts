// XRay of clang, patching as many functions as our keys have sites, in a process of its own that
// takes its samples between ours.

import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { xraySource } from './programs.js';
import type { Missing } from './result.js';
import { SOURCES, versionOf, type Environment, type Workshop } from './tools.js';

export const XRAY_MISSING: Missing = {
  what: 'XRay',
  why:
    'needs clang and its runtime: Debian packages clang and libclang-rt-14-dev ' +
    '(or that of the installed clang)',
};

export interface Xray {
  readonly functions: number;
  /** Nanoseconds for one call: sleds off, sleds on. */
  calls(times: number): Promise<readonly [off: number, on: number]>;
  /** Nanoseconds of patching or unpatching all functions, each once. */
  patch(running: boolean): Promise<readonly number[]>;
  end(): void;
}

const CLANGS = ['clang', 'clang-19', 'clang-18', 'clang-17', 'clang-16', 'clang-15', 'clang-14'];

/** null where clang or its runtime is missing. */
export function startXray(
  workshop: Workshop,
  functions: number,
  cpu: number,
  env: Environment,
): Xray | null {
  const clang = CLANGS.find((name) => versionOf(name, env) !== null);
  if (!clang) return null;
  const source = workshop.write('functions.c', xraySource(functions));
  const program = join(workshop.folder, 'xray');
  // The functions carry the attribute; the threshold keeps what measures them as it is.
  const flags = ['-O1', '-g0', '-fxray-instrument', '-fxray-instruction-threshold=1000000'];
  const done = spawnSync(
    clang,
    [...flags, source, join(SOURCES, 'xray.c'), '-o', program, '-lpthread'],
    { encoding: 'utf8', env },
  );
  if (done.status !== 0) return null;
  const child = spawn(program, [String(cpu)], { stdio: ['pipe', 'pipe', 'ignore'], env });
  // It ends where its thread cannot be seen running, as on a machine that others load. What is
  // asked after that has no answer, and is no error of ours.
  child.stdin.on('error', () => {});
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ask = async (line: string): Promise<number[]> => {
    child.stdin.write(`${line}\n`);
    const answer = await lines.next();
    // The thread could not be seen running: no samples, and the rows are missing.
    return answer.done ? [] : answer.value.trim().split(/\s+/).map(Number);
  };
  return {
    functions,
    async calls(times) {
      const [off = NaN, on = NaN] = await ask(`calls ${times}`);
      return [off, on];
    },
    patch: (running) => ask(`patch 1 ${running ? 1 : 0}`),
    end: () => void child.stdin.end(),
  };
}
