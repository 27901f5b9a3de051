// Lists what this machine can do; status 4 where no process can be patched on it.

import { canPatch, examine } from '../../host/doctor.js';
import { EXIT } from '../../base/fault.js';
import type { Context } from '../context.js';
import { table } from '../table.js';

export interface Flags {
  readonly json: boolean;
}

export function run(context: Context, flags: Flags): number {
  const findings = examine(context.env);
  const patches = canPatch(findings);
  if (flags.json) context.json('static-call/doctor@1', { canPatch: patches, findings });
  else {
    const mark = { fact: '', ok: 'ok', missing: 'missing' };
    const rows = findings.map((f) => [
      f.name,
      f.kind === 'fact' ? mark.fact : f.ok ? mark.ok : mark.missing,
      f.detail,
    ]);
    context.print(
      `${table([{ title: '' }, { title: '' }, { title: '' }], rows)}\n\n${patches ? 'Processes can be patched here.' : 'No process can be patched here; check and inspect work.'}`,
    );
  }
  return patches ? EXIT.good : EXIT.environment;
}
