// Puts the text of processes back as their files have it.

import { attach } from '../../app/index.js';
import type { Context } from '../context.js';
import { answerEach, processesOf, titleOf, type ProcessFlags } from '../processes.js';

export interface Flags extends ProcessFlags {
  readonly protocol?: 'int3' | 'stop';
}

interface Answer {
  readonly pid: number;
  readonly exe: string;
}

export function run(context: Context, flags: Flags, ...words: readonly string[]): number {
  const { object, protocol } = flags;
  const options = { ...(object && { object }), ...(protocol && { protocol }) };
  const ask = (pid: number): Answer => {
    const app = attach(pid, options);
    app.close();
    return { pid, exe: app.path };
  };
  const show = ({ pid, exe }: Answer): string => `${titleOf(pid, exe)}: as linked`;
  const pids = processesOf(words, flags);
  return answerEach(context, flags, 'static-call/reset@1', pids, ask, show);
}
