// What stands at a site or a trampoline, and what its key says ought to stand there
// (arch/x86/kernel/static_call.c has the rule). No instruction is searched: the kernel's tables say
// where each begins.

import type { Addr } from '../../base/addr.js';
import { INT3 } from '../../asm/table.js';
import { recognise, recogniseTrampoline, SITE_FORMS, TRAMPOLINE_LENGTH } from '../../x86/forms.js';
import type { LiveKernel } from './kernel.js';

/** Where it leads: an address, 0 for nowhere, or `trap`; null for anything else. */
export type Leads = Addr | 'trap' | null;

export interface Stands {
  readonly leads: Leads;
  readonly text: string;
  readonly bytes: Uint8Array;
  /** A return without a thunk, or a jump to one. */
  readonly returns?: 'bare' | 'thunk';
}

const CONDITIONAL = 0x80;

export function atSite(kernel: LiveKernel, at: Addr, tail: boolean): Stands {
  const bytes = instructionAt(kernel, at);
  if (bytes[0] === INT3) return { leads: 'trap', text: 'int3', bytes };
  const found = recognise(bytes, at);
  switch (found?.form.effect) {
    case 'nop':
      return { leads: tail ? null : 0, text: 'nop', bytes };
    case 'ret0': {
      const returns0 = kernel.find('__static_call_return0') ?? null;
      return { leads: tail ? null : returns0, text: 'return 0', bytes };
    }
    case 'ret':
      return { leads: tail ? 0 : null, text: 'ret', bytes, returns: 'bare' };
    case 'call':
      return branch(kernel, 'call', found.target, !tail, bytes);
    case 'jmp':
      return branch(kernel, 'jmp', found.target, tail, bytes);
    case 'jcc':
      return branch(kernel, 'jcc', found.target, tail, bytes);
    default:
      return { leads: null, text: 'other bytes', bytes };
  }
}

export function atTrampoline(kernel: LiveKernel, at: Addr): Stands {
  const bytes = kernel.memory.read(at, TRAMPOLINE_LENGTH, 'a trampoline');
  if (bytes[0] === INT3) return { leads: 'trap', text: 'int3', bytes };
  const found = recogniseTrampoline(bytes, at);
  if (found?.form.effect === 'ret') return { leads: 0, text: 'ret', bytes, returns: 'bare' };
  return found
    ? branch(kernel, 'jmp', found.target, true, bytes)
    : { leads: null, text: 'other bytes', bytes };
}

/** What a key says: `call f`, `jmp f`, and what stands for no function and for "return 0". */
export function wanted(kernel: LiveKernel, func: Addr, tail: boolean): string {
  if (func === 0) return tail ? 'ret' : 'nop';
  if (func === kernel.find('__static_call_return0') && !tail) return 'return 0';
  return `${tail ? 'jmp' : 'call'} ${kernel.describe(func)}`;
}

/** Its length is five, and that of a conditional jump six. */
function instructionAt({ memory }: LiveKernel, at: Addr): Uint8Array {
  const head = memory.read(at, SITE_FORMS.call.length, 'a site');
  return head[0] === SITE_FORMS.jcc.bytes[0] && ((head[1] ?? 0) & 0xf0) === CONDITIONAL
    ? memory.read(at, SITE_FORMS.jcc.length, 'a site')
    : head;
}

function branch(
  kernel: LiveKernel,
  how: 'call' | 'jmp' | 'jcc',
  target: Addr | null,
  fits: boolean,
  bytes: Uint8Array,
): Stands {
  if (target === null) return { leads: null, text: `${how} through a pointer`, bytes };
  const text = `${how} ${kernel.describe(target)}`;
  if (!fits) return { leads: null, text, bytes };
  if (how === 'call') return { leads: target, text, bytes };
  if (target === kernel.find('__static_call_return')) return { leads: 0, text, bytes };
  return kernel.describe(target).endsWith('_return_thunk')
    ? { leads: 0, text, bytes, returns: 'thunk' }
    : { leads: target, text, bytes };
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

export const hexOf = (bytes: Uint8Array | null): string =>
  Array.from(bytes ?? [], (byte) => HEX[byte]).join(' ');
