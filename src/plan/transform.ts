// Which instruction a site gets for which target: the kernel's table of form by tail and null
// (arch/x86/kernel/static_call.c), with its return-0 column and clang's conditional tail calls.
//
//                 function        null             return 0
//   call          call target     test %eax,imm    cs cs cs xor %eax,%eax
//   jmp (tail)    jmp  target     ret              jmp  return-0 function
//   jcc (tail)    jcc  target     jcc  to a ret    jcc  return-0 function
//   trampoline    as a tail jmp
//
// The kernel writes a nop where this table has `test`. A nop replaces all five bytes of the call;
// `test %eax,imm32` keeps the displacement as its constant, and `ret` leaves it where it is, so
// that a hook is switched off, and on again, by one byte (plan/way.ts).
//
// and which a branch on a static key (arch/x86/include/asm/jump_label.h):
//
//                 on               off
//   if            jmp              test %eax,imm
//   unless        test %eax,imm    jmp
//
// Every form is one instruction of its site's length. Two instructions would let a thread that is
// interrupted between them come back into the middle of what replaced them, as happened on i386
// until 1cd5f059d956 (in v5.18).

import type { BranchKind, CallKind, SiteKind } from '../sites/site.js';
import type { Emulation } from '../trap/registry.js';
import { invariant } from '../base/invariant.js';
import {
  SITE_FORMS,
  type SiteForm,
  type SiteFormName,
  type SiteFormOf,
  type SiteLength,
} from '../x86/forms.js';

/** Where calls of a key go. */
export type CallTarget = 'function' | 'null' | 'ret0';
/** Whether a static key is on. */
export type BranchTarget = 'on' | 'off';
export type TargetKind = CallTarget | BranchTarget;

/**
 * Where an instruction leads: nowhere, to what the key's target is, or where its own displacement
 * says, which stays.
 */
export type Lead = 'target' | 'return' | 'return0' | null;

export interface Transform<To extends Lead | 'own' = Lead | 'own'> {
  /** By the site's length. */
  readonly forms: Readonly<Record<number, SiteFormName>>;
  /** What the trap handler does for a thread that meets the trap. */
  readonly emulate: Emulation;
  readonly to: To;
}

/** With one form for each length that a site of the kind has, and as long as that. */
type Complete<L extends number, To extends Lead | 'own'> = Transform<To> & {
  readonly forms: { readonly [Length in L]: SiteFormOf<Length> };
};

/** What static_key.h makes a branch of. */
export const BRANCH_LENGTH = 5;

const JUMPS = { forms: { 5: 'jmp' }, emulate: 'taken', to: 'own' } as const;
const PASSES = { forms: { 5: 'test5' }, emulate: 'passed', to: null } as const;

export const TRANSFORM: Readonly<Record<CallKind, Readonly<Record<CallTarget, Transform<Lead>>>>> =
  {
    call: {
      function: { forms: { 5: 'call', 6: 'addr32-call' }, emulate: 'call', to: 'target' },
      null: { forms: { 5: 'test5', 6: 'test6' }, emulate: 'nop', to: null },
      ret0: { forms: { 5: 'ret0-5', 6: 'ret0-6' }, emulate: 'ret0', to: null },
    },
    jmp: {
      function: { forms: { 5: 'jmp', 6: 'cs-jmp' }, emulate: 'jmp', to: 'target' },
      null: { forms: { 5: 'ret5-kept', 6: 'ret6-kept' }, emulate: 'ret', to: null },
      ret0: { forms: { 5: 'jmp', 6: 'cs-jmp' }, emulate: 'jmp', to: 'return0' },
    },
    jcc: {
      function: { forms: { 6: 'jcc' }, emulate: 'jcc', to: 'target' },
      null: { forms: { 6: 'jcc' }, emulate: 'jcc', to: 'return' },
      ret0: { forms: { 6: 'jcc' }, emulate: 'jcc', to: 'return0' },
    },
  } satisfies {
    readonly [K in CallKind]: Readonly<Record<CallTarget, Complete<SiteLength<K>, Lead>>>;
  };

export const BRANCHES: Readonly<Record<BranchKind, Readonly<Record<BranchTarget, Transform>>>> = {
  if: { on: JUMPS, off: PASSES },
  unless: { on: PASSES, off: JUMPS },
} satisfies {
  readonly [K in BranchKind]: Readonly<
    Record<BranchTarget, Complete<typeof BRANCH_LENGTH, 'own' | null>>
  >;
};

const rows: Readonly<Record<SiteKind, Readonly<Partial<Record<TargetKind, Transform>>>>> = {
  ...TRANSFORM,
  ...BRANCHES,
};

/** What a kind of site can be made to do. */
export const rowsOf = (kind: SiteKind): Readonly<Partial<Record<TargetKind, Transform>>> =>
  rows[kind];

export function transformOf(kind: SiteKind, target: TargetKind): Transform {
  const found = rows[kind][target];
  invariant(found, `a site ${kind} cannot be ${target}`);
  return found;
}

export function formOf(kind: SiteKind, target: TargetKind, length: number): SiteForm {
  const name = transformOf(kind, target).forms[length];
  invariant(name !== undefined, `no ${kind} has ${length} bytes`);
  return SITE_FORMS[name];
}
