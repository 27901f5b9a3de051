// Lists what this machine can do; status 4 where no process can be patched on it.

import { canPatch, examine, type Finding } from '../../host/doctor.js';
import { EXIT } from '../../base/fault.js';
import type { Context } from '../context.js';
import { table } from '../table.js';

export interface Flags {
  readonly json: boolean;
}

function markOf({ kind, ok }: Finding): string {
  if (kind === 'fact') return '';
  return ok ? 'ok' : 'missing';
}

export async function run(context: Context, flags: Flags): Promise<number> {
  const findings = await examine(context.env);
  const patches = canPatch(findings);
  if (flags.json) context.json('static-call/doctor@1', { canPatch: patches, findings });
  else {
    const rows = findings.map((finding) => [finding.name, markOf(finding), finding.detail]);
    const verdict = patches
      ? 'Processes can be patched here.'
      : 'No process can be patched here; check and inspect work.';
    context.print(`${table([{ title: '' }, { title: '' }, { title: '' }], rows)}\n\n${verdict}`);
  }
  return patches ? EXIT.good : EXIT.environment;
}
