// Lists what this machine can do, status 4 where no process can be patched on it; or what an attach
// to processes would need and find, status 4 where one could not be attached to.

import { canPatch, examine, type Finding } from '../../host/doctor.js';
import { examineProcess, type ProcessFindings } from '../../host/doctor-process.js';
import { EXIT } from '../../base/fault.js';
import type { Context } from '../context.js';
import { answerEach, processesOf, titleOf, type ProcessFlags } from '../processes.js';
import { table } from '../table.js';

export type Flags = ProcessFlags;

function markOf({ kind, ok }: Finding): string {
  if (kind === 'fact') return '';
  return ok ? 'ok' : 'missing';
}

const shown = (findings: readonly Finding[]): string =>
  table(
    [{ title: '' }, { title: '' }, { title: '' }],
    findings.map((finding) => [finding.name, markOf(finding), finding.detail]),
  );

export async function run(
  context: Context,
  flags: Flags,
  ...words: readonly string[]
): Promise<number> {
  if (words.length > 0 || flags.exe !== undefined) return ofProcesses(context, flags, words);
  const findings = await examine(context.env);
  const patches = canPatch(findings);
  if (flags.json) context.json('static-call/doctor@1', { canPatch: patches, findings });
  else {
    const verdict = patches
      ? 'Processes can be patched here.'
      : 'No process can be patched here; check and inspect work.';
    context.print(`${shown(findings)}\n\n${verdict}`);
  }
  return patches ? EXIT.good : EXIT.environment;
}

function ofProcesses(context: Context, flags: Flags, words: readonly string[]): number {
  let worst: number = EXIT.good;
  const ask = (pid: number): ProcessFindings => {
    const found = examineProcess(pid, flags);
    if (!found.canAttach) worst = EXIT.environment;
    return found;
  };
  const show = ({ pid, exe, canAttach, findings }: ProcessFindings): string =>
    `${titleOf(pid, exe)}: ${canAttach ? 'can be attached to' : 'cannot be attached to'}\n${shown(findings)}`;
  const pids = processesOf(words, flags);
  const answered = answerEach(context, flags, 'static-call/doctor-process@1', pids, ask, show);
  return Math.max(worst, answered);
}
