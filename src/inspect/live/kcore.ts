// Why /proc/kcore is not to be had, by the error of the kernel (open_kcore in fs/proc/kcore.c) and
// by what it says of itself elsewhere. A machine that shows no memory can still be dumped.

import { existsSync, readFileSync } from 'node:fs';
import { Fault } from '../../base/fault.js';

export const KCORE = '/proc/kcore';

/** What tells reasons with the same error apart. */
export interface Surroundings {
  /** Whether /proc is mounted. */
  readonly proc: boolean;
  readonly root: boolean;
  /** CAP_SYS_RAWIO. */
  readonly rawIo: boolean;
  /** The level of lockdown(7); null where the kernel has none or does not say. */
  readonly lockdown: string | null;
}

/** `MASKED`: another file is mounted there. */
export type KcoreError = 'ENOENT' | 'EACCES' | 'EPERM' | 'MASKED';

type Reason = readonly [message: string, hint: string];

const REASONS: Readonly<Record<KcoreError, (around: Surroundings) => Reason>> = {
  ENOENT: ({ proc }) =>
    proc
      ? [
          'this kernel has no /proc/kcore: it was built without CONFIG_PROC_KCORE',
          'boot a kernel with CONFIG_PROC_KCORE',
        ]
      : ['no /proc is mounted here', 'mount it: mount -t proc proc /proc'],
  EACCES: ({ root }) =>
    root
      ? ['root of a container is not root of the machine', 'run it outside of the container']
      : ['only root may read the memory of the kernel', 'run it as root'],
  EPERM: ({ rawIo, lockdown }) => {
    if (lockdown === 'confidentiality')
      return [
        'the kernel is locked down (confidentiality): it shows its memory to no program',
        'boot it without lockdown=confidentiality',
      ];
    if (!rawIo)
      return [
        'this process lacks CAP_SYS_RAWIO, without which the kernel does not show its memory',
        'run it as root outside of the container, or add the capability SYS_RAWIO to it',
      ];
    return ['the kernel refuses to show its memory', 'see /sys/kernel/security/lockdown'];
  },
  MASKED: () => [
    'another file is mounted over /proc/kcore, as container runtimes do',
    'run it outside of the container',
  ],
};

const DUMP = 'or give a dump: a vmcore, or qmp:SOCKET or gdb:ADDRESS of a virtual machine';

const isReason = (code: string): code is KcoreError => Object.hasOwn(REASONS, code);

export function kcoreRefused(
  code: string,
  cause?: unknown,
  around: Surroundings = surroundings(),
): Fault {
  const [text, hint] = isReason(code)
    ? REASONS[code](around)
    : [`it cannot be read: ${code}`, 'see the log of the kernel'];
  return new Fault('no-kcore', text, { at: KCORE, hint: `${hint}; ${DUMP}`, cause });
}

/** The number of CAP_SYS_RAWIO in capability.h. */
const RAW_IO = 17n;

function surroundings(): Surroundings {
  const [, effective = '0'] = /^CapEff:\s*([0-9a-f]+)$/m.exec(textOf('/proc/self/status')) ?? [];
  return {
    proc: existsSync('/proc/self'),
    root: process.geteuid?.() === 0,
    rawIo: ((BigInt(`0x${effective}`) >> RAW_IO) & 1n) === 1n,
    lockdown: levelIn(textOf('/sys/kernel/security/lockdown')),
  };
}

/** Of `none [integrity] confidentiality`, what is in brackets. */
export const levelIn = (text: string): string | null => /\[(\w+)\]/.exec(text)?.[1] ?? null;

function textOf(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
