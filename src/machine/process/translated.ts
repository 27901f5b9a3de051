// Tools that translate a program's code before it runs (valgrind, emulators) keep the translation,
// and go on with it when the code changes. An update would then succeed and change nothing.

import { assemble, bytes } from '../../asm/assembler.js';
import { PAGE, type Addr } from '../../base/addr.js';
import { Fault } from '../../base/fault.js';
import { MAP, PROT } from '../../base/linux.js';
import { memoryFile } from '../linux/memory.js';
import { errorName, type Native } from '../linux/native.js';
import { readProcOrNone } from '../linux/proc.js';

/**
 * By whom it was asked with success: nothing begins to translate a program that runs. A worker that
 * is terminated in the middle leaves a file and its mappings behind, so it is asked once.
 */
const known = new WeakSet<Native>();

/**
 * Calls a function, changes it where it lies, and calls it again. It lies in a file's mapping as
 * programs do: valgrind looks for changes of any other code by default (--smc-check=all-non-file).
 * @throws Fault `not-supported`, `no-memory`
 */
export function checkCodeChanges(native: Native): void {
  if (known.has(native)) return;
  const fd = memoryFile(native, 'static-call-probe', PAGE);
  try {
    withMapping(native, fd, PROT.read | PROT.write, (written) =>
      withMapping(native, fd, PROT.read | PROT.exec, (run) => {
        const memory = new Uint8Array(native.view(written, PAGE));
        const answers = [1, 2].map((answer) => {
          memory.set(answering(answer));
          return native.invoke(run);
        });
        if (answers[1] !== 2) throw translated();
      }),
    );
    known.add(native);
  } finally {
    native.call('close', fd);
  }
}

/** CPUID serialises: what stands behind it is fetched after it. */
const CPUID = bytes(0x0f, 0xa2);
const answering = (answer: number): Uint8Array =>
  assemble([['push', 'rbx'], CPUID, ['pop', 'rbx'], ['mov', 'eax', answer], ['ret']]).bytes;

function withMapping(native: Native, fd: number, access: number, body: (at: Addr) => void): void {
  const at = native.call('mmap', 0, PAGE, access, MAP.shared, fd, 0);
  if (at < 0)
    throw new Fault('no-memory', `mapping a page for a probe was refused: ${errorName(at)}`);
  try {
    body(at);
  } finally {
    native.call('munmap', at, PAGE);
  }
}

function translated(): Fault {
  const valgrind = readProcOrNone('/proc/self/maps').includes('vgpreload');
  return new Fault(
    'not-supported',
    valgrind
      ? 'valgrind runs the code as it was before it is changed'
      : 'something translates the code of this process and runs it as it was before it is changed',
    {
      hint: valgrind
        ? 'start valgrind with --smc-check=all'
        : 'tell the tool that code changes while it runs, or run without it',
    },
  );
}
