// What this machine and process can do, each row tried and not guessed. It is what a bug report
// carries.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, cpus, platform, release } from 'node:os';
import { PAGE } from '../base/addr.js';
import { SIGTRAP } from '../base/linux.js';
import { Fault } from '../base/fault.js';
import { registerBarrier, syncCores } from '../machine/linux/membarrier.js';
import { mapAnonymous, mapMemoryFile, memoryFile } from '../machine/linux/memory.js';
import { errorName, MAP, openNative, PROT, type Native } from '../machine/linux/native.js';
import { lookAtThreads } from '../machine/process/threads.js';
import { checkCodeChanges } from '../machine/process/translated.js';
import { decode } from '../x86/decode.js';
import { openProcmem } from '../machine/process/procmem.js';
import { findCompiler } from './build.js';
import { distance, isFar } from './litmus.js';
import { version } from './version.js';

/**
 * `needed`: without it no process is patched here. `optional`: something works less well, as
 * `detail` says.
 */
export interface Finding {
  readonly name: string;
  readonly kind: 'fact' | 'needed' | 'optional';
  readonly ok: boolean;
  readonly detail: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Runs a check; a Fault is its finding, anything else is a bug. */
export function tried(name: string, kind: Finding['kind'], check: () => string): Finding {
  try {
    return { name, kind, ok: true, detail: check() };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { name, kind, ok: false, detail: `${error.message}; ${error.hint}` };
  }
}

export const fact = (name: string, detail: string): Finding => ({
  name,
  kind: 'fact',
  ok: true,
  detail,
});

/** What node itself was linked with: an object must find the same one. */
function libcOf(): string {
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
  return header.glibcVersionRuntime === undefined
    ? 'not glibc'
    : `glibc ${header.glibcVersionRuntime}`;
}

/** The version of a dependency as it is installed, without loading it. */
function versionOf(name: string): string {
  const require = createRequire(import.meta.url);
  for (const folder of require.resolve.paths(name) ?? []) {
    try {
      const manifest: { readonly version: string } = JSON.parse(
        readFileSync(`${folder}/${name}/package.json`, 'utf8'),
      );
      return manifest.version;
    } catch {
      continue;
    }
  }
  return 'not installed';
}

/** A private page, executable and not writable, as text is. */
function withTextPage<T>(native: Native, body: (at: number) => T): T {
  const at = mapAnonymous(native, PAGE, PROT.read | PROT.exec);
  try {
    return body(at);
  } finally {
    native.call('munmap', at, PAGE);
  }
}

/** What opening does first: a page of code that is written, and executable from then on. */
function runtime(native: Native): string {
  const at = mapMemoryFile(native, 'static-call-doctor', PAGE);
  try {
    const done = native.call('mprotect', at, PAGE, PROT.read | PROT.exec);
    if (done < 0)
      throw new Fault('no-memory', `a page may not become executable: ${errorName(done)}`, {
        hint:
          'a policy of the system (SELinux, seccomp) forbids machine code ' +
          'that is made at run time',
      });
    return 'the trap handler can be placed, at any address that is free';
  } finally {
    native.call('munmap', at, PAGE);
  }
}

function procmem(native: Native): string {
  const file = openProcmem(native);
  try {
    return withTextPage(native, (at) => {
      const byte = Uint8Array.of(0xc3);
      const written = native.call('pwrite', file, native.addressOf(byte), 1, at);
      if (written !== 1)
        throw new Fault(
          'no-text-write',
          `writing text through /proc/self/mem is refused: ${errorName(written)}`,
        );
      return 'text can be written through /proc/self/mem';
    });
  } finally {
    native.call('close', file);
  }
}

function alias(native: Native): string {
  const fd = memoryFile(native, 'static-call-doctor', PAGE);
  try {
    const text = native.call('mmap', 0, PAGE, PROT.read | PROT.exec, MAP.shared, fd, 0);
    if (text < 0)
      throw new Fault(
        'no-memory',
        `an executable mapping of a memory file is refused: ${errorName(text)}`,
        { hint: 'use the writer procmem' },
      );
    native.call('munmap', text, PAGE);
    return 'text can be mapped a second time';
  } finally {
    native.call('close', fd);
  }
}

/** SIG_DFL and SIG_IGN. */
const ACTIONS: ReadonlyMap<number, string> = new Map([
  [0, 'default action'],
  [1, 'ignored'],
]);

function traps(native: Native): string {
  const { handler } = native.sigaction(SIGTRAP, null);
  const { count, notable } = lookAtThreads();
  const blocked = notable.filter((t) => t.trapBlocked).length;
  const action = ACTIONS.get(handler) ?? 'has a handler, which ours would call';
  const where = `${blocked} of ${count} threads (Node's inspector has one)`;
  return `SIGTRAP: ${action}; blocked in ${where}`;
}

/** A runtime that answers as node does is named by itself. */
function runtimeOf(versions: Readonly<Record<string, string | undefined>>): Finding {
  for (const name of ['bun', 'deno']) {
    const own = versions[name];
    if (own !== undefined) return fact(name, `${own}, which answers as node ${versions['node']}`);
  }
  return fact('node', versions['node'] ?? '?');
}

function tracer(): string {
  const { tracer: id } = lookAtThreads();
  if (id === 0) return 'no other process traces this one';
  throw new Fault(
    'not-supported',
    `process ${id} traces this one: under int3 it must hand SIGTRAP on, and not detach by a signal`,
    { hint: 'use protocol store while it is attached (docs/hazards.md)' },
  );
}

function shadowStack(): string {
  const shadowed = lookAtThreads().notable.find((t) => t.shadowStack);
  if (shadowed) throw new Fault('shadow-stack', `thread ${shadowed.id} has a user shadow stack`);
  return 'no user shadow stack: calls can be emulated';
}

/** The distance of the first two CPUs, which decides what `check --litmus` can see. */
async function apart(): Promise<Finding> {
  const nanoseconds = await distance();
  if (nanoseconds === null) return fact('cpu distance', 'not known: there is no pair of CPUs');
  const said = isFar([nanoseconds]) ? 'far apart' : 'near';
  return fact('cpu distance', `${nanoseconds} ns there and back between the first two: ${said}`);
}

export async function examine(env: Environment): Promise<Finding[]> {
  const status = (field: string): string =>
    new RegExp(`^${field}:\\s*(.*)$`, 'm').exec(readOr('/proc/self/status'))?.[1] ?? '?';
  const findings: Finding[] = [
    fact('static-call', version()),
    runtimeOf(process.versions),
    fact('system', `${platform()} ${release()} ${arch()}, ${libcOf()}`),
    fact('cpu', `${cpus()[0]?.model.trim() ?? 'unknown'}, ${cpus().length} online`),
    await apart(),
    fact('koffi', versionOf('koffi')),
  ];
  let native: Native | null = null;
  findings.push(
    tried('decoder', 'needed', () => (decode(Uint8Array.of(0xc3)), 'instructions can be decoded')),
    tried('process', 'needed', () => ((native = openNative()), 'this process can be reached')),
  );
  if (native !== null) {
    const reached: Native = native;
    findings.push(
      tried(
        'membarrier',
        'needed',
        () => (registerBarrier(reached), syncCores(reached), 'SYNC_CORE works'),
      ),
      tried('runtime', 'needed', () => runtime(reached)),
      tried('procmem', 'optional', () => procmem(reached)),
      tried('alias', 'optional', () => alias(reached)),
      tried('trap', 'optional', () => traps(reached)),
      tried('shadow stack', 'optional', shadowStack),
      tried(
        'code changes',
        'needed',
        () => (checkCodeChanges(reached), 'code that is changed runs as it is then'),
      ),
      tried('tracer', 'optional', tracer),
      fact('seccomp', `mode ${status('Seccomp')}`),
    );
  }
  findings.push(
    tried('compiler', 'optional', () => {
      const words = findCompiler(env);
      const [compiler] = words;
      const version =
        spawnSync(compiler, ['--version'], { encoding: 'utf8' }).stdout.split('\n')[0] ?? '';
      return `${words.join(' ')}: ${version}`;
    }),
  );
  return findings;
}

function readOr(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

/** Whether some writer and everything else that patching needs is there. */
export function canPatch(findings: readonly Finding[]): boolean {
  const writers = findings.filter((f) => f.name === 'procmem' || f.name === 'alias');
  return findings.every((f) => f.kind !== 'needed' || f.ok) && writers.some((f) => f.ok);
}
