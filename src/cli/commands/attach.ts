// Takes charge of processes that run, without a change of targets: handler in, every site inlined.

import { attach } from '../../app/index.js';
import type { Attached, Keys } from '../../app/types.js';
import type { Context } from '../context.js';
import { answerEach, counted, processesOf, titleOf, type ProcessFlags } from '../processes.js';

export interface Flags extends ProcessFlags {
  readonly file?: string;
}

interface Answer {
  readonly pid: number;
  readonly exe: string;
  readonly objects: Attached<Keys>['objects'];
  readonly sites: number;
  readonly inline: number;
  readonly thread: number | null;
  readonly heldNs: number | null;
}

export function run(context: Context, flags: Flags, ...words: readonly string[]): number {
  const { object, file } = flags;
  const options = { ...(object && { object }), ...(file && { file }) };
  const ask = (pid: number): Answer => {
    using app = attach(pid, options);
    const sites = app.sites().filter(({ kind }) => kind !== 'trampoline');
    return {
      pid,
      exe: app.path,
      objects: app.objects,
      sites: sites.length,
      inline: sites.filter((site) => site.inline).length,
      thread: app.held?.thread ?? null,
      heldNs: app.held?.ns ?? null,
    };
  };
  const pids = processesOf(words, flags);
  return answerEach(context, flags, 'static-call/attach@1', pids, ask, show);
}

function show({ pid, exe, objects, sites, inline, thread, heldNs }: Answer): string {
  const keys = objects.reduce((sum, object) => sum + object.keys, 0);
  const held = Math.round((heldNs ?? 0) / 1000);
  return (
    `${titleOf(pid, exe)}: ${counted(objects.length, 'object')}, ${counted(keys, 'key')}, ` +
    `${inline} of ${counted(sites, 'site')} inline, thread ${thread} held ${held} us`
  );
}
