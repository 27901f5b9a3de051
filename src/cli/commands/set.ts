// Retargets keys of processes that run: one batch for each process.

import { attach } from '../../app/index.js';
import type { Update } from '../../app/types.js';
import { Fault } from '../../base/fault.js';
import type { Context } from '../context.js';
import { answerEach, counted, processesOf, titleOf, type ProcessFlags } from '../processes.js';

export interface Flags extends ProcessFlags {
  readonly file?: string;
  readonly protocol?: 'int3' | 'stop';
}

interface Answer extends Pick<Update, 'changes' | 'inline' | 'trampoline' | 'traps' | 'ns'> {
  readonly pid: number;
  readonly exe: string;
  readonly changed: boolean;
  readonly thread: number | null;
  /** How many were held: one, or all of them. */
  readonly threads: number | null;
  readonly heldNs: number | null;
}

export function run(context: Context, flags: Flags, ...words: readonly string[]): number {
  const targets = targetsOf(words.filter((word) => word.includes('=')));
  const pids = processesOf(
    words.filter((word) => !word.includes('=')),
    flags,
  );
  const { object, file, protocol } = flags;
  const options = {
    ...(object && { object }),
    ...(file && { file }),
    ...(protocol && { protocol }),
  };
  const ask = (pid: number): Answer => {
    using app = attach(pid, options);
    const { changes, inline, trampoline, traps, ns } = app.update(targets);
    const changed = changes.length > 0;
    return {
      pid,
      exe: app.path,
      changed,
      changes,
      inline,
      trampoline,
      traps,
      ns,
      thread: changed ? (app.held?.thread ?? null) : null,
      threads: changed ? (app.held?.threads ?? null) : null,
      heldNs: changed ? (app.held?.ns ?? null) : null,
    };
  };
  return answerEach(context, flags, 'static-call/set@1', pids, ask, show);
}

/** `key=target`; `null` and `ret0` are the targets of that name. @throws Fault `bad-usage` */
function targetsOf(words: readonly string[]): Record<string, string | null> {
  if (words.length === 0)
    throw new Fault('bad-usage', 'no key is given a target', {
      hint: 'write KEY=TARGET, as in: static-call set 4711 route=route_fast',
    });
  const targets: Record<string, string | null> = Object.create(null);
  for (const word of words) {
    const at = word.indexOf('=');
    const target = word.slice(at + 1);
    targets[word.slice(0, at)] = target === 'null' ? null : target;
  }
  return targets;
}

function show(answer: Answer): string {
  const { pid, exe, changed, changes, inline, trampoline, thread, threads, heldNs } = answer;
  if (!changed) return `${titleOf(pid, exe)}: unchanged`;
  const what = changes.map(({ key, from, to }) => `${key}: ${from ?? 'null'} -> ${to ?? 'null'}`);
  const sites = inline + trampoline;
  const who = threads === null || threads === 1 ? `thread ${thread}` : `all ${threads} threads`;
  return (
    `${titleOf(pid, exe)}: ${counted(changes.length, 'key')} (${what.join(', ')}), ` +
    `${counted(sites, 'site')}, ${who} held ${Math.round((heldNs ?? 0) / 1000)} us`
  );
}
