// The processes that a command names, by number or by their program, and one answer for each: a
// process that is refused is told and does not keep the others from theirs.

import { readdirSync, readlinkSync, realpathSync } from 'node:fs';
import { EXIT, Fault, isFault } from '../base/fault.js';
import { printable } from '../base/printable.js';
import type { Context } from './context.js';
import { report } from './report.js';

export interface ProcessFlags {
  /** Every process that runs this program. */
  readonly exe?: string;
  readonly object?: string;
  readonly json: boolean;
}

/** What the kernel adds to the path of a program that was deleted or replaced. */
const DELETED = / \(deleted\)$/;

/** @throws Fault `bad-usage`, `no-such-process` */
export function processesOf(words: readonly string[], { exe }: ProcessFlags): number[] {
  const named = words.map((word) => {
    if (!/^[1-9]\d*$/.test(word))
      throw new Fault('bad-usage', `${word} is no number of a process`, {
        hint: 'give process ids, or --exe with the path of a program',
      });
    return Number(word);
  });
  const found = [...new Set([...named, ...(exe === undefined ? [] : running(exe))])];
  if (found.length > 0) return found;
  if (exe === undefined)
    throw new Fault('bad-usage', 'no process is named', {
      hint: 'give process ids, or --exe with the path of a program',
    });
  throw new Fault('no-such-process', `no process runs ${exe}`);
}

/** Also those whose program was deleted or replaced since. */
function running(exe: string): number[] {
  const path = real(exe);
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => linkOf(`/proc/${pid}/exe`).replace(DELETED, '') === path)
    .map(Number);
}

function real(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

/**
 * Asks each process and prints what it answered: a line of text each, or all of them as one value.
 * @returns the worst exit status
 */
export function answerEach<T extends object>(
  context: Context,
  flags: ProcessFlags,
  schema: string,
  pids: readonly number[],
  ask: (pid: number) => T,
  show: (answer: T) => string,
): number {
  const answers: object[] = [];
  let worst: number = EXIT.good;
  for (const pid of pids) {
    try {
      const answer = ask(pid);
      answers.push({ pid, ...answer });
      if (!flags.json) context.print(show(answer));
    } catch (error) {
      if (!isFault(error)) throw error;
      worst = Math.max(worst, error.exit);
      const { code, message, hint } = error;
      answers.push({ pid, error: { code, message, hint } });
      if (!flags.json) context.note(report(error, '', context.paint).text);
    }
  }
  if (flags.json) context.json(schema, { processes: answers });
  return worst;
}

/** `4711 server`: how a process is named on a line of its own. */
export const titleOf = (pid: number, exe: string): string =>
  `${pid} ${printable(exe.replace(DELETED, '').slice(exe.lastIndexOf('/') + 1))}`;

export const counted = (count: number, word: string): string =>
  `${count} ${word}${count === 1 ? '' : 's'}`;
