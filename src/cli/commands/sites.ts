// Keys and sites of processes that run, read from outside: nothing of them is stopped.

import { look, type ProcessLook } from '../../app/look.js';
import type { Context } from '../context.js';
import { answerEach, counted, processesOf, titleOf, type ProcessFlags } from '../processes.js';
import { table } from '../table.js';

export type Flags = ProcessFlags;

export function run(context: Context, flags: Flags, ...words: readonly string[]): number {
  const pids = processesOf(words, flags);
  return answerEach(context, flags, 'static-call/sites@1', pids, (pid) => look(pid, flags), show);
}

function show({ pid, exe, runtime, tools, keys }: ProcessLook): string {
  const notes = [
    counted(keys.length, 'key'),
    runtime ? 'attached to before, or with a runtime of its own' : 'as linked',
    ...(tools > 0 ? [`${counted(tools, 'tool')} attached`] : []),
  ];
  const rows = keys.map((key) => [
    `  ${key.name}`,
    key.target ?? 'null',
    key.sites,
    key.inline,
    key.parked,
    key.traps,
  ]);
  const columns = [
    { title: '  key' },
    { title: 'target' },
    ...['sites', 'inline', 'parked', 'emulated'].map((title) => ({
      title,
      align: 'right' as const,
    })),
  ];
  return `${titleOf(pid, exe)}: ${notes.join(', ')}\n${table(columns, rows)}`;
}
