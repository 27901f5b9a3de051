// Which instruction a site gets for which target: the kernel's table of form by tail and null
// (arch/x86/kernel/static_call.c), with its return-0 column and clang's conditional tail calls.
//
//                 function        null             return 0
//   call          call target     nop              cs cs cs xor %eax,%eax
//   jmp (tail)    jmp  target     ret              jmp  return-0 function
//   jcc (tail)    jcc  target     jcc  to a ret    jcc  return-0 function
//   trampoline    as a tail jmp
//
// Every form is one instruction of its site's length. Two instructions would let a thread that is
// interrupted between them come back into the middle of what replaced them, as happened on i386
// until 1cd5f059d956 (in v5.18).

import type { SiteKind } from '../sites/site.js';
import type { Emulation } from '../trap/registry.js';
import { invariant } from '../base/invariant.js';
import {
  SITE_FORMS,
  type SiteForm,
  type SiteFormName,
  type SiteFormOf,
  type SiteLength,
} from '../x86/forms.js';

export type TargetKind = 'function' | 'null' | 'ret0';

export interface Transform {
  /** By the site's length. */
  readonly forms: Readonly<Record<number, SiteFormName>>;
  /** What the trap handler does for a thread that meets the trap. */
  readonly emulate: Emulation;
  readonly to: 'target' | 'return' | 'return0' | null;
}

/** With one form for each length that a site of the kind has, and as long as that. */
type Complete<K extends SiteKind> = Transform & {
  readonly forms: { readonly [L in SiteLength<K>]: SiteFormOf<L> };
};

export const TRANSFORM: Readonly<Record<SiteKind, Readonly<Record<TargetKind, Transform>>>> = {
  call: {
    function: { forms: { 5: 'call', 6: 'addr32-call' }, emulate: 'call', to: 'target' },
    null: { forms: { 5: 'nop5', 6: 'nop6' }, emulate: 'nop', to: null },
    ret0: { forms: { 5: 'ret0-5', 6: 'ret0-6' }, emulate: 'ret0', to: null },
  },
  jmp: {
    function: { forms: { 5: 'jmp', 6: 'cs-jmp' }, emulate: 'jmp', to: 'target' },
    null: { forms: { 5: 'ret5', 6: 'ret6' }, emulate: 'ret', to: null },
    ret0: { forms: { 5: 'jmp', 6: 'cs-jmp' }, emulate: 'jmp', to: 'return0' },
  },
  jcc: {
    function: { forms: { 6: 'jcc' }, emulate: 'jcc', to: 'target' },
    null: { forms: { 6: 'jcc' }, emulate: 'jcc', to: 'return' },
    ret0: { forms: { 6: 'jcc' }, emulate: 'jcc', to: 'return0' },
  },
} satisfies { readonly [K in SiteKind]: Readonly<Record<TargetKind, Complete<K>>> };

export function formOf(kind: SiteKind, target: TargetKind, length: number): SiteForm {
  const name = TRANSFORM[kind][target].forms[length];
  invariant(name !== undefined, `no ${kind} has ${length} bytes`);
  return SITE_FORMS[name];
}
