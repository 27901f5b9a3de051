// Executes one decoded instruction on one CPU: reads before it writes, memory before registers, and
// RIP last, so that an instruction that faults has changed nothing. What an instruction means is in
// semantics.ts; this file has only what all of them share.

import type { Insn } from '../../asm/encoding.js';
import type { Cpu, Outcome, Port } from './cpu.js';
import { GENERAL_PROTECTION, SEMANTICS } from './semantics.js';

export function execute(insn: Insn, cpu: Cpu, port: Port): Outcome {
  if (insn.form.runs === 'system' && cpu.user) return 'general-protection';
  try {
    return SEMANTICS[insn.form.key].run({ insn, cpu, port, next: cpu.rip + insn.length });
  } catch (error) {
    if (error === GENERAL_PROTECTION) return 'general-protection';
    throw error;
  }
}

/**
 * The flags that the manual leaves undefined after this instruction on this CPU, before it is
 * executed.
 */
export function undefinedFlags(insn: Insn, cpu: Cpu): number {
  return SEMANTICS[insn.form.key].undefinedFlags?.(insn, cpu) ?? 0;
}
