// The route map: every command's words, flags and help, and nothing of what it does. This is the
// only file that knows the parser (stricli).
//
// To add a command NAME:
//   1. `commands/NAME.ts` exports `Flags` (an interface of its flags) and
//      `run(context, flags, ...args): number | Promise<number>`, which returns the exit status (EXIT of
//      base/fault.ts) or throws a Fault. It writes through its Context alone (context.ts): `print` for the
//      answer, `note` for the rest, `json(schema, value)` for `--json`, `signal` for Ctrl-C. Tables come
//      from table.ts, a live line from progress.ts. Its imports may be heavy: it is loaded when it runs.
//   2. A row in ROUTES: `command(() => import('./commands/NAME.js'), {...})`. The compiler holds the row's
//      parameters against `Flags` and the arguments of `run`. Examples are pairs of a comment and a line.
//   3. A golden of its help in test/cli/golden (UPDATE=1 writes it).
// A row exists when its command works: no row is a promise.

import { setImmediate } from 'node:timers/promises';
import {
  buildApplication,
  buildCommand,
  buildRouteMap,
  ExitCode,
  proposeCompletions,
  run as runApplication,
  text_en,
  type Application,
  type Command,
  type CommandContext,
  type TypedCommandParameters,
} from '@stricli/core';
import { EXIT } from '../base/fault.js';
import { contextFor, paintFor, type Context, type Streams } from './context.js';
import { CC_FLAGS } from './direct.js';
import { report, usage, type Failure } from './report.js';
import { SHELLS, type Shell } from './shells.js';
import { SITE_SHAPES } from '../machine/sim/settings.js';
import { PROTOCOL_NAMES } from '../plan/protocols/index.js';

interface Local extends CommandContext {
  readonly context: Context;
  /** The wrapped command tells its end here; the parser's own status would override it. */
  end(status: number): void;
  fail(error: unknown): void;
}

interface Row<
  FLAGS extends Readonly<Partial<Record<keyof FLAGS, unknown>>>,
  ARGS extends readonly unknown[],
> {
  readonly brief: string;
  /** More than the brief, where the help needs it. */
  readonly about?: string;
  readonly examples: readonly (readonly [comment: string, line: string])[];
  readonly parameters: NoInfer<TypedCommandParameters<FLAGS, ARGS, Local>>;
}

interface Module<FLAGS, ARGS extends readonly unknown[]> {
  readonly run: (context: Context, flags: FLAGS, ...args: ARGS) => number | Promise<number>;
}

const examples = (rows: readonly (readonly [string, string])[]): string =>
  ['Examples:', ...rows.map(([comment, line]) => `  # ${comment}\n  ${line}`)].join('\n');

function command<
  FLAGS extends Readonly<Partial<Record<keyof FLAGS, unknown>>>,
  ARGS extends readonly unknown[],
>(load: () => Promise<Module<FLAGS, ARGS>>, row: Row<FLAGS, ARGS>): Command<Local> {
  return buildCommand<FLAGS, ARGS, Local>({
    async func(this: Local, flags: FLAGS, ...args: ARGS) {
      // Loading is inside: a missing optional dependency is a failure of the command like any
      // other.
      try {
        this.end(await (await load()).run(this.context, flags, ...args));
      } catch (error) {
        // A Ctrl-C that came while the command waited for another program is delivered when the
        // loop polls: between two immediates it has.
        await setImmediate();
        await setImmediate();
        this.fail(error);
      }
    },
    parameters: row.parameters,
    docs: {
      brief: row.brief,
      fullDescription: `${row.about ?? `${row.brief}.`}\n\n${examples(row.examples)}`,
    },
  } as Parameters<typeof buildCommand<FLAGS, ARGS, Local>>[0]);
}

const html = {
  kind: 'parsed',
  parse: String,
  brief: 'Write the run with its plots as one page',
  optional: true,
  placeholder: 'file',
} as const;
const json = {
  kind: 'boolean',
  brief: 'Print one JSON value instead of text',
  default: false,
} as const;

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new SyntaxError(`${text} is not a number above 0`);
  return value;
}

function count(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new SyntaxError(`${text} is not a whole number above 0`);
  return value;
}

function bound(text: string): number | 'any' {
  return text === 'any' ? text : count(text);
}

function port(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > 65_535)
    throw new SyntaxError(`${text} is no port: 0 to 65535`);
  return value;
}

function shell(text: string): Shell {
  const found = SHELLS.find((name) => name === text);
  if (!found) throw new SyntaxError(`${text} is none of ${SHELLS.join(', ')}`);
  return found;
}

function extent(text: string): 'default' | 'full' {
  if (text !== '' && text !== 'default' && text !== 'full')
    throw new SyntaxError(`${text} is neither default nor full`);
  return text === 'full' ? 'full' : 'default';
}

/** Loaded when a shell asks: the names are those of the checker. */
async function protocolsLike(partial: string): Promise<readonly string[]> {
  const { protocols } = await import('../check/ask/check.js');
  const names = new Set(protocols().map(({ name }) => name));
  return [...names].filter((name) => name.startsWith(partial));
}

const processFlags = {
  exe: {
    kind: 'parsed',
    parse: String,
    brief: 'Every process that runs this program',
    optional: true,
    placeholder: 'path',
  },
  object: {
    kind: 'parsed',
    parse: String,
    brief: 'Only this object of the process, by name or path',
    optional: true,
    placeholder: 'name',
  },
  json,
} as const;
const fileFlag = {
  kind: 'parsed',
  parse: String,
  brief: 'The file that the process was started from, where it cannot be read',
  optional: true,
  placeholder: 'file',
} as const;
const attachFlag = {
  kind: 'enum',
  values: ['int3', 'stop'],
  brief: 'stop: hold every thread and install nothing, where a trap handler cannot be',
  optional: true,
} as const;
const processes = {
  kind: 'array',
  parameter: { brief: 'Process ids', parse: String, placeholder: 'pid' },
} as const;

const ROUTES = {
  annotate: command(() => import('./commands/annotate.js'), {
    brief: 'Write the table of static call sites into object files',
    about: `Finds the static call sites of object files and writes them as the section .static_call_sites,
as the kernel's objtool does. Takes relocatable objects, kernel modules, shared objects and programs,
and writes in place, whole or not at all. A file without sites is not touched, nor is one that has a
table (see --force).`,
    examples: [
      ['one object, in place', 'static-call annotate filters.o'],
      [
        'a kernel module, whose keys may belong to the kernel',
        'static-call annotate --module net.ko',
      ],
      ['leave the input alone', 'static-call annotate libfilters.so -o annotated.so'],
    ],
    parameters: {
      flags: {
        module: {
          kind: 'boolean',
          brief: 'Name a key that the object does not know by its trampoline',
          default: false,
        },
        force: {
          kind: 'boolean',
          brief: 'Write the table again where there is one',
          default: false,
        },
        output: {
          kind: 'parsed',
          parse: String,
          brief: 'Write here instead (one FILE)',
          optional: true,
          placeholder: 'file',
        },
        json,
      },
      aliases: { o: 'output' },
      positional: {
        kind: 'array',
        parameter: { brief: 'Object files', parse: String, placeholder: 'file' },
        minimum: 1,
      },
    },
  }),
  attach: command(() => import('./commands/attach.js'), {
    brief: 'Take charge of the static calls of processes that run',
    about: `Installs the trap handler in each process and inlines its sites, by one thread that is held for a
fraction of a millisecond at a time. No target changes. What is done stays when the command ends.`,
    examples: [
      ['a process', 'static-call attach 4711'],
      ['every process of a program', 'static-call attach --exe /usr/sbin/server'],
    ],
    parameters: { flags: { ...processFlags, file: fileFlag }, positional: processes },
  }),
  cc: command(() => import('./commands/cc.js'), {
    brief: 'Run a compiler so that its output can be retargeted in place',
    about: `Runs the compiler's command behind -- and annotates what it makes. It adds the header's directory,
and options by which the assembler (gas or clang's own) keeps calls and jumps inside cache lines, or
inside less: the protocol store takes what lies in a quadword. The compiler's output and status pass
through. An object that calls the key of another shared object gets its table when this command links
it.`,
    examples: [
      ['in a Makefile', 'CC = static-call cc -- gcc'],
      ['compile and link', 'static-call cc -- gcc -O2 -shared -fPIC filters.c -o libfilters.so'],
      [
        'a program that retargets its own calls',
        'static-call cc --runtime -- gcc -O2 server.c -o server -lpthread',
      ],
    ],
    parameters: {
      flags: {
        align: {
          kind: 'enum',
          values: ['line', 'fetch32', 'fetch16', 'qword', 'no'],
          brief: 'Keep sites inside lines, 32, 16 or (clang) 8 bytes',
          default: CC_FLAGS.align,
        },
        runtime: {
          kind: 'boolean',
          brief: 'Give the program a runtime of its own: static_call_update() needs no Node',
          default: CC_FLAGS.runtime,
        },
        verbose: {
          kind: 'boolean',
          brief: 'Tell the whole command and what was annotated, on stderr',
          default: CC_FLAGS.verbose,
        },
        json,
      },
      positional: {
        kind: 'array',
        parameter: { brief: "The compiler's command", parse: String, placeholder: 'word' },
        minimum: 1,
      },
    },
  }),
  bench: command(() => import('./commands/bench.js'), {
    brief: 'Measure what static calls buy on this machine',
    about: `Measures calls, updates, the pause and the trap, annotate and check, in one run: in rounds, each
beside what it is compared with, with a control, and with threads that are seen to run. It names the
peers that are not installed (XRay, objtool, SPIN). With --gate, status 1 if a ratio grew beyond the
noise of both runs.`,
    examples: [
      ['everything, in less than two minutes', 'static-call bench --html bench.html'],
      [
        'calls and updates alone, in fifteen seconds',
        'static-call bench --only call,update --seconds 15',
      ],
      [
        'keep a run, and hold a later one against it',
        'static-call bench --json > before.json; static-call bench --gate before.json',
      ],
    ],
    parameters: {
      flags: {
        only: {
          kind: 'enum',
          values: ['call', 'update', 'pause', 'trap', 'outside', 'objects', 'check'],
          brief: 'These groups alone',
          variadic: ',',
          optional: true,
        },
        seconds: {
          kind: 'parsed',
          parse: positive,
          brief: 'How long to measure (default: 45; 3 with --quick)',
          optional: true,
          placeholder: 'S',
        },
        quick: { kind: 'boolean', brief: 'At most 1,000 sites, and no XRay', default: false },
        html,
        gate: {
          kind: 'parsed',
          parse: String,
          brief: 'Hold the ratios against those of an earlier --json',
          optional: true,
          placeholder: 'file',
        },
        json,
      },
    },
  }),
  check: command(() => import('./commands/check.js'), {
    brief: 'Explore everything that a way of patching can do, on a simulated machine',
    about: `Explores every interleaving of a protocol's steps with the CPUs of a simulated x86-64 machine.
Says for each property whether it is proved for any number of CPUs, passes and updates, or holds
within the bounds that are printed, and draws the shortest way to each failure. PROTOCOL is a name,
a name/variant, or an .mjs file, whose code is run. Status 0 only if every property that was asked
for is proved, holds or does not apply.`,
    examples: [
      ['what was merged into Linux, and what a process runs', 'static-call check int3-gap int3'],
      ['without its last synchronisation', 'static-call check int3-gap --drop-sync 3'],
      [
        'with NMIs, drawn',
        'static-call check int3-percpu/fixed --context task,irq,nmi --svg nmi.svg',
      ],
      ['what can be named', 'static-call check --list'],
      [
        'within bounds: two threads, two calls each, two updates',
        'static-call check int3 --bounds 2',
      ],
      [
        'the same again by another checker (docs/proof.md)',
        'static-call check int3-gap --export promela -o gap.pml',
      ],
      ['every protocol against every property', 'static-call check --matrix'],
      ['whether this CPU does what the model forbids', 'static-call check --litmus'],
      [
        'whether this CPU tears a protocol without its first synchronisation',
        'static-call check int3 --litmus --drop-sync 1 --seconds-max 20',
      ],
      [
        'whether a kernel did what was checked (docs/kernels.md)',
        'static-call check int3-gap/counted --against poke.jsonl',
      ],
    ],
    parameters: {
      flags: {
        protocol: {
          kind: 'parsed',
          parse: String,
          brief: 'Same as the argument',
          optional: true,
          variadic: true,
          placeholder: 'name|file',
        },
        env: {
          kind: 'enum',
          values: ['kernel', 'user'],
          brief: 'For a protocol that is made for both',
          optional: true,
        },
        fetch: {
          kind: 'enum',
          values: ['F0', 'F1', 'F1d', 'F1a', 'F2', 'F3', 'F4'],
          brief: 'What a CPU may fetch (default: F3, anything since it serialised)',
          optional: true,
        },
        chunk: {
          kind: 'enum',
          values: ['byte', 'qword', 'fetch16', 'fetch32', 'line'],
          brief: 'What it fetches whole (default: byte)',
          optional: true,
        },
        store: {
          kind: 'enum',
          values: ['byte', 'qword', 'fetch16', 'fetch32', 'line'],
          brief: 'Widest atomic store (default: line)',
          optional: true,
        },
        context: {
          kind: 'parsed',
          parse: String,
          brief: 'Of task, irq, nmi, nested-nmi, mc, db, preempt, signal',
          optional: true,
          placeholder: 'list',
        },
        cpus: {
          kind: 'parsed',
          parse: bound,
          brief: 'CPUs (default: 2 beside a number of passes or updates)',
          optional: true,
          placeholder: 'N|any',
        },
        bounds: {
          kind: 'parsed',
          parse: bound,
          brief: 'CPUs, passes and updates (default: any, or 2 where that does not close)',
          optional: true,
          placeholder: 'N|any',
        },
        targets: {
          kind: 'parsed',
          parse: String,
          brief: 'What any number of updates choose among, of A, B, C, D, null, ret0',
          optional: true,
          placeholder: 'list',
        },
        tasks: {
          kind: 'parsed',
          parse: count,
          brief: 'Tasks (default: one a CPU)',
          optional: true,
          placeholder: 'N',
        },
        passes: {
          kind: 'parsed',
          parse: bound,
          brief: 'Passes of each task over its site (default: likewise)',
          optional: true,
          placeholder: 'N|any',
        },
        updates: {
          kind: 'parsed',
          parse: bound,
          brief: 'Updates (default: likewise)',
          optional: true,
          placeholder: 'N|any',
        },
        site: {
          kind: 'enum',
          values: SITE_SHAPES,
          brief: 'Kind of site, or what it goes to and from (default: call)',
          optional: true,
        },
        offset: {
          kind: 'parsed',
          parse: (word: string) => (word === 'all' ? word : count(word)),
          brief: 'Where in its line the site lies, or all (default: the worst)',
          optional: true,
          placeholder: 'N',
        },
        dropSync: {
          kind: 'parsed',
          parse: count,
          brief: 'Leave out the Kth synchronisation',
          optional: true,
          placeholder: 'K',
        },
        tso: {
          kind: 'enum',
          values: ['on', 'off'],
          brief: 'Store buffers (default: on)',
          optional: true,
        },
        entry: {
          kind: 'enum',
          values: ['2019', 'today'],
          brief: 'Whether #BP entry tells lockdep (default: today, it does not)',
          optional: true,
        },
        patcher: {
          kind: 'enum',
          values: ['beside', 'task'],
          brief: 'Beside the CPUs, or a task on one of them (default: beside)',
          optional: true,
        },
        shadowStack: { kind: 'boolean', brief: 'With shadow stacks', default: false },
        property: {
          kind: 'parsed',
          parse: String,
          brief: 'Judge these alone',
          optional: true,
          variadic: true,
          placeholder: 'name',
        },
        reduce: {
          kind: 'enum',
          values: ['none', 'macro', 'sym', 'por'],
          brief: 'Reductions of the search (default: por, all)',
          optional: true,
        },
        statesMax: {
          kind: 'parsed',
          parse: count,
          brief: 'Give up beyond so many states',
          optional: true,
          placeholder: 'N',
        },
        secondsMax: {
          kind: 'parsed',
          parse: positive,
          brief: 'Give up after so long; each program or protocol of --litmus runs so long',
          optional: true,
          placeholder: 'S',
        },
        path: {
          kind: 'parsed',
          parse: String,
          brief: 'Replay and draw a path that was printed',
          optional: true,
          placeholder: 'token',
        },
        against: {
          kind: 'parsed',
          parse: String,
          brief: 'Hold the steps that a kernel took, as recorded, against the protocol',
          optional: true,
          placeholder: 'log',
        },
        under: {
          kind: 'parsed',
          parse: String,
          brief: 'Draw beside the failure what the same schedule comes to under this protocol',
          optional: true,
          placeholder: 'protocol',
        },
        svg: {
          kind: 'parsed',
          parse: String,
          brief: 'Draw the first failure there',
          optional: true,
          placeholder: 'file',
        },
        certificate: {
          kind: 'parsed',
          parse: String,
          brief: 'Write what a search without bounds found, for scripts/certify.mjs',
          optional: true,
          placeholder: 'file',
        },
        export: {
          kind: 'enum',
          values: ['promela'],
          brief: 'Write the protocol as a model that SPIN searches',
          optional: true,
        },
        output: {
          kind: 'parsed',
          parse: String,
          brief: 'Write the model of --export here instead of standard output',
          optional: true,
          placeholder: 'file',
        },
        matrix: {
          kind: 'parsed',
          parse: extent,
          inferEmpty: true,
          brief: 'Every protocol against every property; `full`: and every setting',
          optional: true,
          placeholder: 'full',
        },
        zoo: {
          kind: 'boolean',
          brief: 'What each patcher that ships needs of the hardware',
          default: false,
        },
        queue: {
          kind: 'parsed',
          parse: String,
          brief: 'Have the workers of this Redis search for --matrix or --zoo',
          optional: true,
          placeholder: 'redis://HOST:PORT',
        },
        litmus: {
          kind: 'boolean',
          brief: 'Run small programs on this CPU beside the model, or the named protocols',
          default: false,
        },
        wait: {
          kind: 'parsed',
          parse: positive,
          brief: 'So long --litmus waits for two CPUs that are near each other',
          optional: true,
          placeholder: 'S',
        },
        list: {
          kind: 'boolean',
          brief: 'List the protocols that have a name, and what each does',
          default: false,
        },
        stats: { kind: 'boolean', brief: 'Tell speed and memory of the search', default: false },
        json,
      },
      positional: {
        kind: 'array',
        parameter: {
          brief: 'Protocols',
          parse: String,
          placeholder: 'protocol',
          proposeCompletions: protocolsLike,
        },
      },
      aliases: { o: 'output' },
    },
  }),
  completion: command(() => import('./commands/completion.js'), {
    brief: 'Print what makes a shell complete this command',
    about: `Prints a script for the shell named: bash, zsh or fish. It asks static-call itself for commands,
options, their values, and the names of protocols.`,
    examples: [
      ['bash, in ~/.bashrc', 'eval "$(static-call completion bash)"'],
      ['zsh, in ~/.zshrc after compinit', 'eval "$(static-call completion zsh)"'],
      ['fish, in ~/.config/fish/config.fish', 'static-call completion fish | source'],
    ],
    parameters: {
      flags: { json },
      positional: {
        kind: 'tuple',
        parameters: [
          {
            brief: 'bash, zsh or fish',
            parse: shell,
            placeholder: 'shell',
            proposeCompletions: (partial: string) =>
              SHELLS.filter((name) => name.startsWith(partial)),
          },
        ],
      },
    },
  }),
  demo: command(() => import('./commands/demo.js'), {
    brief: 'Retarget a program as fast as it goes while its threads run',
    about: `Builds the checksum example with the system's C compiler, starts its threads, retargets its three
keys as fast as possible, and compares every block's sum with the known one. Status 1 if anything was
wrong.`,
    examples: [
      ['five seconds, two threads', 'static-call demo'],
      ['its record as a page', 'static-call demo --html demo.html'],
      [
        'one store for each site instead of traps',
        'static-call demo --protocol store --writer alias',
      ],
    ],
    parameters: {
      flags: {
        seconds: {
          kind: 'parsed',
          parse: positive,
          brief: 'How long',
          default: '5',
          placeholder: 'S',
        },
        threads: {
          kind: 'parsed',
          parse: count,
          brief: 'Native threads that call',
          default: '2',
          placeholder: 'N',
        },
        file: {
          kind: 'parsed',
          parse: String,
          brief: 'What is summed (default: the node program)',
          optional: true,
          placeholder: 'F',
        },
        protocol: {
          kind: 'enum',
          values: PROTOCOL_NAMES,
          brief: 'How a site is rewritten',
          default: 'int3',
        },
        writer: {
          kind: 'enum',
          values: ['procmem', 'alias'],
          brief: 'How text is written (default: procmem; alias for store)',
          optional: true,
        },
        html,
        json,
      },
    },
  }),
  doctor: command(() => import('./commands/doctor.js'), {
    brief: 'List what this machine can do, or what an attach to processes would need',
    about: `Tries everything that patching a process needs and says what it found. Put its output into a bug
report. Status 4 if no process can be patched here. With processes it says what an attach to each would
need and find, and stops nothing of them. Status 4 if one could not be attached to.`,
    examples: [
      ['for a bug report', 'static-call doctor --json'],
      ['whether a server can be retargeted', 'static-call doctor 4711'],
    ],
    parameters: { flags: processFlags, positional: processes },
  }),
  flags: command(() => import('./commands/flags.js'), {
    brief: 'Print what a build system gives to the compiler',
    about: `Prints options for a build that does not run static-call cc: --cflags what every file that includes
static_call.h needs, --align what keeps calls inside cache lines, --libs what the linker needs, which
is nothing. Without any, all of them. Or the directories where pkg-config and CMake find the same.`,
    examples: [
      ['one file', 'gcc -O2 $(static-call flags --cflags --align) -c filters.c'],
      ['clang has other names', 'clang $(static-call flags --clang) -c filters.c'],
      [
        'pkg-config',
        'PKG_CONFIG_PATH=$(static-call flags --pkg-config) pkg-config --cflags static-call',
      ],
      [
        'find_package(static-call)',
        'cmake -B build -Dstatic-call_DIR="$(static-call flags --cmake)"',
      ],
    ],
    parameters: {
      flags: {
        cflags: { kind: 'boolean', brief: 'Where the header is', default: false },
        align: { kind: 'boolean', brief: 'Calls stay inside lines of 64 bytes', default: false },
        libs: { kind: 'boolean', brief: 'Nothing', default: false },
        clang: { kind: 'boolean', brief: "In the words of clang's assembler", default: false },
        pkgConfig: {
          kind: 'boolean',
          brief: 'The directory for PKG_CONFIG_PATH',
          default: false,
        },
        cmake: { kind: 'boolean', brief: 'The directory for static-call_DIR', default: false },
        json,
      },
    },
  }),
  include: command(() => import('./commands/include.js'), {
    brief: 'Print the directory of static_call.h',
    about: 'Prints the directory of static_call.h, the one header that C and C++ code needs.',
    examples: [
      [
        'compile a library whose calls can be retargeted',
        'gcc -O2 -shared -fPIC -I"$(static-call include)" filters.c -o libfilters.so',
      ],
    ],
    parameters: { flags: { json } },
  }),
  runtime: command(() => import('./commands/runtime.js'), {
    brief: 'Write the C file by which a program retargets its own calls',
    about: `Writes one C file. A program that links it needs no Node: static_call_update() rewrites its call sites
on the thread that calls. Compile all of the program with -DSTATIC_CALL_RUNTIME, annotate its objects
before they are linked, and link this file with them; static-call cc --runtime does all of that.`,
    examples: [['for a build by hand', 'static-call runtime -o static_call_runtime.c']],
    parameters: {
      flags: {
        output: {
          kind: 'parsed',
          parse: String,
          brief: 'Write here and not to stdout',
          placeholder: 'file',
          optional: true,
        },
        json,
      },
      aliases: { o: 'output' },
    },
  }),
  inspect: command(() => import('./commands/inspect.js'), {
    brief: 'List static call sites and keys of objects, modules, programs and kernels',
    about: `Lists the static call sites and keys of relocatable objects, kernel modules (also packed), static
libraries, shared objects, programs, vmlinux and kernel images as distributed. An image needs no
symbols: names come from its own kallsyms tables. The summary comes first; --by adds a listing.
A file that is refused is reported on stderr, and the others are still answered (status 3).

With --live, or for a dump of memory: the static calls of a kernel that runs or has run, and whether
each site does what its key says (status 1 if not). SOURCE is a vmcore, an ELF core, a kdump,
qmp:SOCKET or gdb:ADDRESS of a virtual machine; without one, the kernel that this runs on.`,
    examples: [
      ['what a kernel has', 'static-call inspect /boot/vmlinuz'],
      [
        'its keys, with trampoline and initial target',
        'static-call inspect --by key /boot/vmlinuz',
      ],
      [
        'the sites of some keys in all modules',
        "static-call inspect --key 'tp_func_sched_*' /lib/modules",
      ],
      [
        'what changed between two builds (status 1 if anything)',
        'static-call inspect --diff old.ko new.ko',
      ],
      [
        'where the calls of this kernel go now, beside its image',
        'sudo static-call inspect --live --against /boot/vmlinuz-$(uname -r)',
      ],
      ['which function runs at each LSM hook of a dump', 'static-call inspect --by lsm vmcore'],
    ],
    parameters: {
      flags: {
        by: {
          kind: 'enum',
          values: [
            'key',
            'site',
            'section',
            'function',
            'file',
            'branch',
            'drift',
            'lsm',
            'tracepoint',
          ],
          brief: 'List by this, after the summary; drift, lsm, tracepoint: of memory',
          optional: true,
        },
        key: {
          kind: 'parsed',
          parse: String,
          brief: 'Only keys whose name matches (* any run, ? any one)',
          optional: true,
          placeholder: 'glob',
        },
        diff: { kind: 'boolean', brief: 'Compare two builds by key and function', default: false },
        live: {
          kind: 'boolean',
          brief: "Read a kernel's memory: this one's, or that of the SOURCE given",
          default: false,
        },
        against: {
          kind: 'parsed',
          parse: String,
          brief: 'With memory: the image that was booted',
          optional: true,
          placeholder: 'vmlinuz',
        },
        json,
      },
      positional: {
        kind: 'array',
        parameter: {
          brief: 'Files or directories; - is standard input; or one SOURCE of memory',
          parse: String,
          placeholder: 'file|dir',
        },
      },
    },
  }),
  reset: command(() => import('./commands/reset.js'), {
    brief: 'Put the text of processes that run back as their files have it',
    about: `Sends every key back to what it was linked with, and every site back to its trampoline. The trap
handler and its data stay, because a thread may be on its way into them.`,
    examples: [['a process', 'static-call reset 4711']],
    parameters: { flags: { ...processFlags, protocol: attachFlag }, positional: processes },
  }),
  set: command(() => import('./commands/set.js'), {
    brief: 'Retarget keys of processes that run',
    about: `Attaches to each process as needed and changes the targets of its keys, all of them in one batch. No
thread stops but the one that is borrowed. What is set stays when the command ends. A key that has
the target already is left alone: status 0, and the line says unchanged. --protocol stop holds every
thread for the update and installs nothing: for a program that has a SIGTRAP handler of its own, or a
sandbox that refuses what a handler needs.`,
    examples: [
      ['one key', 'static-call set 4711 route=route_fast'],
      ['two keys at once, one of them empty', 'static-call set 4711 route=route_fast trace=null'],
      ['everywhere', 'static-call set --exe /usr/sbin/server route=route_fast'],
      ['a program that uses SIGTRAP', 'static-call set 4711 route=route_fast --protocol stop'],
    ],
    parameters: {
      flags: { ...processFlags, file: fileFlag, protocol: attachFlag },
      positional: {
        kind: 'array',
        parameter: {
          brief: 'Process ids, and what to set',
          parse: String,
          placeholder: 'pid|key=target',
        },
        minimum: 1,
      },
    },
  }),
  sites: command(() => import('./commands/sites.js'), {
    brief: 'List the keys of processes that run, and where they go',
    about: `Reads keys, targets and the bytes at every site from outside. Nothing of a process is stopped, and
nothing is left in it. For files, see inspect.`,
    examples: [['a process', 'static-call sites 4711']],
    parameters: { flags: processFlags, positional: processes },
  }),
  trace: command(() => import('./commands/trace.js'), {
    brief: 'Count the calls of keys of processes that run, for a while',
    about: `Leads each key to machine code that counts and goes on to its target, waits, and leads it
back: also at Ctrl-C, SIGTERM and SIGHUP, and where another process fails. A key that was updated
meanwhile keeps its newer target. What is measured is how many calls came and how often; how long a call took is not.`,
    examples: [
      ['one second of a key', 'static-call trace 4711 route --seconds 1'],
      ['two keys of all servers', 'static-call trace --exe /usr/sbin/server route hook --json'],
    ],
    parameters: {
      flags: {
        ...processFlags,
        file: fileFlag,
        seconds: {
          kind: 'parsed',
          parse: positive,
          brief: 'How long',
          default: '10',
          placeholder: 'S',
        },
      },
      positional: {
        kind: 'array',
        parameter: { brief: 'Process ids and keys', parse: String, placeholder: 'pid|key' },
      },
    },
  }),
  types: command(() => import('./commands/types.js'), {
    brief: "Write the TypeScript type of a program's keys",
    about: `Writes the type that open<...> takes: each key with the names of its declared targets, with null
where it may be empty and 'ret0' where it may return 0. Wrong names then do not compile. The type is
named after the file (libfilters.so: Filters).`,
    examples: [
      [
        'then: import type { Filters } from "./filters.keys.js"',
        'static-call types libfilters.so -o filters.keys.ts',
      ],
      ['look at it', 'static-call types libfilters.so'],
    ],
    parameters: {
      flags: {
        output: {
          kind: 'parsed',
          parse: String,
          brief: 'Write here instead of standard output',
          optional: true,
          placeholder: 'file',
        },
        name: {
          kind: 'parsed',
          parse: String,
          brief: 'Name of the type',
          optional: true,
          placeholder: 'name',
        },
        json,
      },
      aliases: { o: 'output' },
      positional: {
        kind: 'tuple',
        parameters: [{ brief: 'A shared object or program', parse: String, placeholder: 'file' }],
      },
    },
  }),
  view: command(() => import('./commands/view.js'), {
    brief: 'See an interleaving: the checker as a page for a browser',
    about: `Prints the address of the playground, one HTML file that needs no server and asks for nothing: pick
or edit a protocol, search, step through a failure, be the scheduler, drop an object or a kernel on
it. What is seen is in the page's address, as the same token that check prints.`,
    examples: [
      ['its address', 'static-call view'],
      ['a file to pass on', 'static-call view -o playground.html'],
      ['for a browser that reads no files', 'static-call view --serve'],
    ],
    parameters: {
      flags: {
        output: {
          kind: 'parsed',
          parse: String,
          brief: 'Write the page to this file',
          optional: true,
          placeholder: 'file',
        },
        serve: {
          kind: 'parsed',
          parse: port,
          inferEmpty: true,
          brief: 'Serve it on this machine until Ctrl-C; a number is the port',
          optional: true,
          placeholder: 'port',
        },
        path: {
          kind: 'parsed',
          parse: String,
          brief: 'Open it on this path of check',
          optional: true,
          placeholder: 'token',
        },
        json,
      },
      aliases: { o: 'output' },
    },
  }),
  watch: command(() => import('./commands/watch.js'), {
    brief: 'Tell changes of targets in processes as they happen',
    about: `Reads the keys of each process four times a second and prints what changed, by any
tool or by the program, and how many calls the trap handler emulated meanwhile. Nothing of a process
is stopped. Ends at Ctrl-C, or when the processes have ended.`,
    examples: [['a process', 'static-call watch 4711']],
    parameters: {
      flags: {
        ...processFlags,
        seconds: {
          kind: 'parsed',
          parse: positive,
          brief: 'End after so long',
          optional: true,
          placeholder: 'S',
        },
      },
      positional: processes,
    },
  }),
  worker: command(() => import('./commands/worker.js'), {
    brief: 'Search for check --queue, on any number of hosts',
    about: `Takes searches out of a queue on Redis and puts back what they found, one on each CPU at a time,
until Ctrl-C; what is searched then goes back to the queue. A worker that is killed loses nothing:
another one begins its searches again. docs/proof.md says how to start Redis.`,
    examples: [
      ['on each host', 'static-call worker --queue redis://10.0.0.1:6379'],
      ['and on one', 'static-call check --matrix full --queue redis://10.0.0.1:6379'],
    ],
    parameters: {
      flags: {
        queue: {
          kind: 'parsed',
          parse: String,
          brief: 'Where Redis listens',
          placeholder: 'redis://HOST:PORT',
        },
        threads: {
          kind: 'parsed',
          parse: count,
          brief: 'Searches at a time (default: one a CPU)',
          optional: true,
          placeholder: 'N',
        },
        silent: {
          kind: 'parsed',
          parse: positive,
          brief: 'A worker that is silent for so long is taken for dead (default: 30)',
          optional: true,
          placeholder: 'S',
        },
      },
    },
  }),
};

const ABOUT = `Finds the static call sites of x86-64 Linux programs, retargets them live while threads run,
and checks the way it is done.

Exit status: 0 done; 1 the answer is no; 2 wrong usage; 3 input refused; 4 this machine refused;
70 a bug of ours; 130 after Ctrl-C. The answer is on stdout, everything else on stderr.`;

/** `cc gcc -c x.c`: the parser takes the compiler's options for ours. */
function hintFor([command, ...words]: readonly string[]): string | undefined {
  return command === 'cc' && !words.includes('--')
    ? 'put -- before the compiler, as in: static-call cc -- gcc -c x.c'
    : undefined;
}

function application(
  version: string,
  argv: readonly string[],
  refuse: (failure: Failure) => void,
): Application<Local> {
  const refused = (message: string, hint?: string): string => {
    const { text, failure } = usage(message, hint);
    refuse(failure);
    return text;
  };
  return buildApplication<Local>(
    buildRouteMap<keyof typeof ROUTES, Local>({
      routes: ROUTES,
      docs: { brief: 'Static calls for x86-64 Linux programs', fullDescription: ABOUT },
    }),
    {
      name: 'static-call',
      versionInfo: { currentVersion: version },
      // After `--` everything is an argument: `static-call cc -- gcc -c x.c`.
      scanner: { caseStyle: 'allow-kebab-for-camel', allowArgumentEscapeSequence: true },
      documentation: { caseStyle: 'convert-camel-to-kebab', onlyRequiredInUsageLine: true },
      localization: {
        text: {
          ...text_en,
          noCommandRegisteredForInput: (args) => refused(text_en.noCommandRegisteredForInput(args)),
          exceptionWhileParsingArguments: (error, colour) =>
            refused(
              text_en.exceptionWhileParsingArguments.call({ formatException }, error, colour),
              hintFor(argv),
            ),
        },
      },
    },
  );
}

/**
 * The parser's own statuses are negative; those that are not here mean that the command could not
 * even start.
 */
const STATUS: ReadonlyMap<number, number> = new Map<number, number>([
  [ExitCode.Success, EXIT.good],
  [ExitCode.UnknownCommand, EXIT.usage],
  [ExitCode.InvalidArgument, EXIT.usage],
]);

const formatException = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

/**
 * What may stand next on a command line, for the scripts of `completion`: each word with what it
 * means, by a tab.
 */
export async function complete(
  words: readonly string[],
  streams: Streams,
  version: string,
): Promise<number> {
  const context = contextFor(streams);
  const local: Local = { process: streams, context, end: () => {}, fail: () => {} };
  for (const { completion, brief } of await proposeCompletions(
    application(version, words, () => {}),
    words,
    local,
  ))
    context.print(`${completion}\t${brief}`);
  return EXIT.good;
}

/** Whether the answer was to be JSON; behind `--` no word is ours. */
const wantsJson = (argv: readonly string[]): boolean =>
  argv.slice(0, argv.includes('--') ? argv.indexOf('--') : argv.length).includes('--json');

/** Runs what the words ask for and says how it ended. */
export async function runCommandLine(
  argv: readonly string[],
  streams: Streams,
  version: string,
): Promise<number> {
  const context = contextFor(streams);
  const seen: { status?: number; failure?: Failure } = {};
  const parser: Streams & { exitCode?: number | string | null } = {
    stdout: streams.stdout,
    stderr: streams.stderr,
    env: streams.env,
  };
  const local: Local = {
    process: parser,
    context,
    end: (status) => void (seen.status = status),
    fail(error) {
      // A command may end by throwing what its signal threw at it.
      if (context.interrupted()) return;
      const told = report(error, version, paintFor(streams.stderr, streams.env));
      context.note(told.text);
      seen.status = told.exit;
      seen.failure = told.failure;
    },
  };
  // Half of the world's tools answer to `help`.
  const asked = argv[0] === 'help' ? [...argv.slice(1), '--help'] : argv;
  const refuse = (failure: Failure): void => void (seen.failure = failure);
  await runApplication(application(version, asked, refuse), asked, local);
  const status = seen.status ?? STATUS.get(Number(parser.exitCode ?? 0)) ?? EXIT.bug;
  // One value on stdout in every case, the same failure in words beside it.
  if (seen.failure && wantsJson(argv) && !context.answered())
    context.json('static-call/error@1', { ...seen.failure, status });
  context.release();
  return context.interrupted() ? EXIT.interrupted : status;
}
