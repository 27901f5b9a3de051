// Every refusal of the library is one class with a code from one table. A row says which exit
// status the command line gives and what the user can do; the message, made where the fault is
// found, says what was found and `at` says where. Expected outcomes (a property that fails) are
// values, not faults. What a fault quotes may come out of a file: its text is made printable here,
// once, so that neither the command line nor the stack of an uncaught Fault writes raw bytes of a
// file to a terminal.

import { printable } from './printable.js';

/** Exit statuses of the command line. */
export const EXIT = {
  good: 0,
  no: 1,
  usage: 2,
  input: 3,
  environment: 4,
  bug: 70,
  interrupted: 130,
} as const;

interface Row {
  readonly exit: 1 | 2 | 3 | 4;
  readonly hint: string;
}

const ROWS = {
  // base: files and arguments
  'no-such-file': { exit: 3, hint: 'check the path' },
  'unreadable-file': { exit: 3, hint: 'check that it is a regular file that you may read' },
  'unwritable-file': {
    exit: 3,
    hint: 'check that its directory exists and that you may write there',
  },
  'bad-usage': { exit: 2, hint: 'see --help' },

  // elf
  'not-elf': { exit: 3, hint: 'give an ELF object, shared object or executable' },
  'wrong-class': { exit: 3, hint: 'only 64-bit little-endian x86-64 ELF is supported' },
  'truncated-elf': { exit: 3, hint: 'the file is cut short or damaged; build it again' },
  'bad-elf': {
    exit: 3,
    hint:
      'the file is damaged, or made by a tool that this one does not know; readelf -a ' +
      'shows more',
  },

  // sites and keys
  'bad-sites-section': {
    exit: 3,
    hint: 'remove it (objcopy -R .static_call_sites) and annotate again',
  },
  'bad-site': {
    exit: 3,
    hint: 'the file or another tool changed the instruction; rebuild or annotate again',
  },
  'bad-trampoline': {
    exit: 3,
    hint:
      'define the key with DEFINE_STATIC_CALL of static_call.h; keep llvm-bolt away from ' +
      "it with --skip-funcs='__SCT__.*'",
  },
  'no-sites': {
    exit: 3,
    hint: 'compile it with static_call.h and keep its symbols, or annotate it',
  },
  'no-keys': { exit: 3, hint: 'define a key with DEFINE_STATIC_CALL of static_call.h' },
  'no-key': { exit: 3, hint: 'declare the key with DECLARE_STATIC_CALL, or pass --module' },
  'bad-keys-section': {
    exit: 3,
    hint: 'the file is damaged, or its header is of another version: rebuild it',
  },
  'ambiguous-target': {
    exit: 3,
    hint: 'give each function its own name, or declare it in one source file',
  },
  'not-linked': { exit: 3, hint: 'link it into a shared object or a program' },
  'no-trampoline': { exit: 3, hint: 'define the key with DEFINE_STATIC_CALL of static_call.h' },

  // plan
  'unknown-key': { exit: 3, hint: 'app.keys lists the keys' },
  'unknown-target': {
    exit: 3,
    hint: 'declare it with STATIC_CALL_TARGET, or ask for unchecked(...)',
  },
  'null-refused': {
    exit: 3,
    hint: 'only a key whose functions return void can be empty; use its return-0 form',
  },
  'ret0-refused': {
    exit: 3,
    hint: 'return 0 is for keys that return an integer or a pointer of at most eight bytes',
  },
  'out-of-reach': { exit: 3, hint: 'no free page was found within 2 GiB of the site for a veneer' },
  'not-inline': { exit: 3, hint: 'use protocol int3, or do not require inline' },
  'store-refused': { exit: 3, hint: 'use protocol int3 for this key' },
  'bad-option': { exit: 2, hint: 'see OpenOptions and UpdateOptions' },
  'unknown-protocol': { exit: 2, hint: 'see static-call check --help for the names' },
  'bad-log': { exit: 3, hint: 'see examples/kernel/README.md for the form of a log' },
  'bad-protocol': { exit: 3, hint: 'see docs/protocols.md for the interface' },

  // process
  drift: { exit: 3, hint: 'another tool changed the text; verify() lists the places' },
  'foreign-trap': { exit: 3, hint: 'a debugger holds a breakpoint on the site; remove it' },
  'handler-replaced': {
    exit: 4,
    hint: 'something installed its own SIGTRAP handler; install it before open()',
  },
  'trap-blocked': { exit: 4, hint: 'unblock SIGTRAP in that thread, or use protocol store' },
  'shadow-stack': { exit: 4, hint: 'use protocol store, which runs real calls' },
  'no-membarrier': {
    exit: 4,
    hint: 'needs Linux 4.16 with membarrier(SYNC_CORE), allowed by the seccomp filter',
  },
  'no-proc': {
    exit: 4,
    hint:
      'let the process read its own /proc, or use protocol store with writer alias, which ' +
      'read nothing of it',
  },
  'no-text-write': { exit: 4, hint: 'allow writes to /proc/self/mem, or open with writer alias' },
  'no-memory': { exit: 4, hint: 'the process may not map more memory; raise the limit' },
  'not-supported': { exit: 4, hint: 'patching a process needs Linux on x86-64' },
  'not-loaded': {
    exit: 3,
    hint: 'the dynamic linker refused the object; ldd shows what is missing',
  },
  'update-failed': {
    exit: 4,
    hint: 'the text was put back as it was; the cause says which call failed',
  },
  'update-mixed': {
    exit: 4,
    hint:
      'some sites have the old target and some the new one; verify() lists them, the next ' +
      'update may mend them',
  },
  'update-parked': {
    exit: 4,
    hint:
      'the sites stay on their trap and are emulated; verify() lists them, the next update ' +
      'may mend them',
  },
  'no-server': {
    exit: 4,
    hint:
      'worker threads may be refused here; open with serveUpdates: false, and ' +
      'static_call_update returns -ENOSYS',
  },
  'other-runtime': { exit: 4, hint: 'use one version of static-call in a process' },
  closed: { exit: 3, hint: 'open the object again' },
  busy: { exit: 4, hint: 'another update of this process is running on this very thread' },
  // another process
  'no-such-process': { exit: 4, hint: 'ps -e lists the processes' },
  'not-yours': { exit: 4, hint: "run this as the process's user, or as root" },
  'ptrace-scope': {
    exit: 4,
    hint:
      'run this as root, or have the program allow it: ' +
      'prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY)',
  },
  'no-attach': {
    exit: 4,
    hint: 'it was started with STATIC_CALL_NO_ATTACH=1; start it without',
  },
  traced: { exit: 4, hint: 'a process has one tracer at a time; end that one' },
  'target-stopped': { exit: 4, hint: 'let it go on: kill -CONT' },
  'target-gone': { exit: 4, hint: 'what was changed in it is gone with it' },
  'no-thread': { exit: 4, hint: 'try again, when one of its threads runs' },
  'no-way-in': { exit: 4, hint: 'link it with a libc, whose code holds what is needed' },
  'call-refused': {
    exit: 4,
    hint: 'a seccomp filter or a limit of the process refuses it; nothing was changed',
  },
  'not-same-file': { exit: 3, hint: 'give the file that the process was started from' },
  'ambiguous-key': { exit: 3, hint: 'name the object' },
  'no-compiler': { exit: 4, hint: 'install gcc or clang, or set CC' },
  'compile-failed': { exit: 3, hint: 'the compiler said why' },

  // kernel images and packed modules
  'unknown-packing': { exit: 3, hint: 'known: gzip, bzip2, lzma, xz, lz4, zstd' },
  'bad-packing': { exit: 3, hint: 'the compressed stream is damaged' },
  'no-unpacker': { exit: 4, hint: 'install the optional dependency it names' },
  'bad-image': { exit: 3, hint: 'give a bzImage or vmlinux of 5.10 or newer' },

  // kernels in memory
  'not-a-core': {
    exit: 3,
    hint: 'give a vmcore, an ELF core or a kdump of a kernel, qmp:SOCKET or gdb:ADDRESS',
  },
  'bad-core': { exit: 3, hint: 'the dump is cut short or damaged: copy it, or make it, again' },
  'no-vmcoreinfo': {
    exit: 3,
    hint:
      'it is no memory of a Linux kernel of 6.0 or newer, or not all of it; QEMU: start the ' +
      'guest with -device vmcoreinfo, or dump all of its memory',
  },
  'page-missing': {
    exit: 3,
    hint: 'dump more of the memory: makedumpfile -d 31 keeps all that is read here',
  },
  'bad-kernel': {
    exit: 3,
    hint:
      'kernels from 6.0 on with CONFIG_KALLSYMS_ALL are read; if this is one, its memory is ' +
      'damaged',
  },
  'other-image': { exit: 3, hint: 'give the vmlinuz or vmlinux of the build that was booted' },
  'no-qmp': {
    exit: 4,
    hint: 'start QEMU with -qmp unix:SOCKET,server=on,wait=off, and run this as a user who may use it',
  },
  'no-gdb': {
    exit: 4,
    hint: 'start QEMU with -gdb tcp::1234 or -gdb unix:SOCKET,server=on,wait=off',
  },
  'no-kcore': { exit: 4, hint: 'give a dump instead' },

  // searches on several hosts
  'no-queue-client': { exit: 4, hint: 'npm install bullmq@6 ioredis@6' },
  'no-queue': {
    exit: 4,
    hint: 'start it (apt install redis-server), or give its address and password',
  },
  'queue-lost': {
    exit: 4,
    hint: 'start it again and repeat the command: what was searched is taken from the queue',
  },
  'queue-version': {
    exit: 3,
    hint: 'end that run, or give another database of the Redis: redis://HOST:PORT/1',
  },
} as const satisfies Record<string, Row>;

/** What was refused; docs/faults.md lists all of them with what to do. */
export type FaultCode = keyof typeof ROWS;

export const FAULTS: Readonly<Record<FaultCode, Row>> = ROWS;

export interface FaultDetail {
  /** Symbol and offset, address, file or step. */
  readonly at?: string;
  /** In place of the row's hint, where the place knows better. */
  readonly hint?: string;
  readonly cause?: unknown;
}

const BRAND: unique symbol = Symbol.for('static-call.fault');

/** A typed refusal. Nothing was changed by it, unless its code says otherwise (`update-parked`). */
export class Fault extends Error {
  override readonly name = 'Fault';
  readonly code: FaultCode;
  readonly hint: string;
  // Declared alone: a field would be there, and be shown, where nothing is known.
  declare readonly at?: string;
  readonly [BRAND] = true;

  constructor(code: FaultCode, message: string, detail: FaultDetail = {}) {
    super(printable(message), detail.cause === undefined ? undefined : { cause: detail.cause });
    this.code = code;
    this.hint = printable(detail.hint ?? FAULTS[code].hint);
    if (detail.at !== undefined) this.at = printable(detail.at);
  }

  get exit(): number {
    return FAULTS[this.code].exit;
  }
}

/**
 * Runs what reads one file. Its faults name the place in it, if any; the caller that knows the file's name
 * adds it.
 */
export function inFile<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    const file = printable(path);
    if (!isFault(error) || error.at === file || error.at?.startsWith(`${file}:`)) throw error;
    throw new Fault(error.code, error.message, {
      at: error.at === undefined ? file : `${file}: ${error.at}`,
      hint: error.hint,
      ...(error.cause === undefined ? {} : { cause: error.cause }),
    });
  }
}

/** Also true for a Fault of another copy of this package. */
export function isFault(error: unknown): error is Fault {
  return (
    typeof error === 'object' && error !== null && (error as { [BRAND]?: unknown })[BRAND] === true
  );
}
