// What an attach to a process would need and find. Everything is read from outside: nothing of the
// process is stopped.

import { statSync } from 'node:fs';
import { Fault } from '../base/fault.js';
import { SIGTRAP, SYS } from '../base/linux.js';
import { readProcOrNone } from '../machine/linux/proc.js';
import { bit } from '../machine/process/threads.js';
import { findWayIn } from '../machine/remote/borrow.js';
import { ANY, candidates, CLEAN } from '../machine/remote/choose.js';
import { checkMasks, inspectorOf } from '../machine/remote/masks.js';
import { objectsOf } from '../machine/remote/objects.js';
import { findRuntime } from '../machine/remote/runtime.js';
import { scratchesIn } from '../machine/remote/scratch.js';
import { checkStoppable } from '../machine/remote/seize.js';
import { Target, type ThreadLook } from '../machine/remote/target.js';
import { fact, tried, type Finding } from './doctor.js';

export interface ProcessFindings {
  readonly pid: number;
  readonly exe: string;
  /** Whether everything that an attach needs is there. */
  readonly canAttach: boolean;
  readonly findings: readonly Finding[];
}

const CAP_DAC_OVERRIDE = 1n;
/** What the borrowed thread calls; a filter must allow all of them. */
const NEEDED_CALLS = 'memfd_create, mmap, munmap, open, close, pwrite64, membarrier, rt_sigaction';

/** @throws Fault `no-such-process`, `not-yours`, `ptrace-scope` */
export function examineProcess(
  pid: number,
  options: { readonly object?: string | undefined } = {},
): ProcessFindings {
  const target = new Target(pid);
  try {
    const findings = findingsOf(target, options);
    const canAttach = findings.every(({ kind, ok }) => kind !== 'needed' || ok);
    return { pid, exe: target.exe, canAttach, findings };
  } finally {
    target.close();
  }
}

function findingsOf(target: Target, options: { readonly object?: string | undefined }): Finding[] {
  const scope = readProcOrNone('/proc/sys/kernel/yama/ptrace_scope').trim();
  return [
    fact('user', `${target.field('Uid').split('\t')[1] ?? '?'}, and you may trace it`),
    fact('ptrace_scope', scope === '' ? 'this kernel has no Yama' : scope),
    tried('wish', 'needed', () => wish(target)),
    tried('tracer', 'needed', () => (checkStoppable(target), 'none; it is not stopped')),
    seccomp(target),
    tried('own memory', 'needed', () => ownMemory(target)),
    tried('objects', 'needed', () => objects(target, options)),
    tried('runtime', 'needed', () => runtime(target)),
    tried('SIGTRAP', 'needed', () => traps(target)),
    tried('way in', 'needed', () => (findWayIn(target, target.maps()), 'its code has one')),
    tried('thread', 'needed', () => thread(target)),
  ];
}

function wish(target: Target): string {
  if (target.environment('STATIC_CALL_NO_ATTACH') === '1')
    throw new Fault('no-attach', `process ${target.pid} does not want to be attached to`);
  return 'it was not started with STATIC_CALL_NO_ATTACH=1';
}

function seccomp(target: Target): Finding {
  const filtered = target.field('Seccomp') === '2';
  const detail = filtered
    ? `it has a filter, which must allow ${NEEDED_CALLS}`
    : 'it has no filter of system calls';
  return { name: 'seccomp', kind: 'optional', ok: !filtered, detail };
}

/** A program that has dropped root, or is not dumpable, has no right to its own /proc/self/mem. */
function ownMemory(target: Target): string {
  const user = Number(target.field('Uid').split('\t')[1]);
  const capabilities = BigInt(`0x${target.field('CapEff') || '0'}`);
  const overrides = ((capabilities >> CAP_DAC_OVERRIDE) & 1n) === 1n;
  const { uid } = statSync(`/proc/${target.pid}/mem`);
  if (uid !== user && !overrides)
    throw new Fault(
      'call-refused',
      `its /proc/self/mem belongs to user ${uid} and it is ${user}: open would answer EACCES`,
      { hint: 'have it call prctl(PR_SET_DUMPABLE, 1) after it has changed its user' },
    );
  return 'it may write its text through /proc/self/mem';
}

function objects(target: Target, options: { readonly object?: string | undefined }): string {
  const found = objectsOf(target, options);
  const keys = found.flatMap((object) => object.keys);
  const sites = keys.reduce((sum, key) => sum + key.sites.length, 0);
  return `${found.map(({ path }) => path).join(', ')}: keys ${keys.length}, sites ${sites}`;
}

function runtime(target: Target): string {
  const maps = target.maps();
  const tools = scratchesIn(target, maps).length;
  const there =
    findRuntime(target, maps) === null
      ? 'none: the first attach maps it'
      : 'it is there: from an attach, from Node, or its own';
  return tools === 0 ? there : `${there}; tools attached or killed: ${tools}`;
}

function traps(target: Target): string {
  checkMasks(target, inspectorOf(target));
  const caught = (BigInt(`0x${target.field('SigCgt') || '0'}`) & bit(SIGTRAP)) !== 0n;
  const handler = caught ? 'it has a handler' : 'it has no handler yet';
  return `no thread of ${target.threadIds().length} blocks it; ${handler}`;
}

function thread(target: Target): string {
  const looks = target.threadIds().map((id) => target.thread(id));
  const [clean] = candidates(looks, CLEAN);
  if (clean) return `${clean.id} would be borrowed, which ${does(clean)}`;
  const [any] = candidates(looks, ANY);
  if (any) return `${any.id} would be borrowed, which ${does(any)} and would be told EINTR`;
  throw new Fault(
    'no-thread',
    `none can be borrowed at this moment: ${looks.map((look) => `${look.id} ${does(look)}`).join(', ')}`,
  );
}

function does({ state, sleepsIn }: ThreadLook): string {
  if (sleepsIn === null) return state === 'R' ? 'runs' : `is in state ${state}`;
  const call = Object.entries(SYS).find(([, number]) => number === sleepsIn.call)?.[0];
  return `sleeps in ${call ?? `system call ${sleepsIn.call}`}`;
}
