// Mistakes that the kernel made (docs/kernel-interface.md), put into what ships one at a time: the
// check that keeps each out must notice it. Without the mistake the same checks pass, here or where
// the page says.

import { fileURLToPath } from 'node:url';
import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { assemble, Folder, gcc, must, tool } from '../build.js';
import { making, type Mistake } from '../mistake/mistake.js';
import { answer, child, type Ended } from './child.js';
import { opening, type Opening } from './opening.js';
import { compileProgram, INCLUDE } from './programs.js';
import { soak, expectRight } from './soaked.js';
import { backwards, everySecondTwice, withTable } from './tables.js';
import { WAYS } from './ways.js';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

const fell = ({ status, signal }: Ended): boolean => status !== 0 || signal !== null;

/** What the problems of a mistaken opening are; a crash is one. */
function openingWith(file: string, from: string, to: string): string[] {
  const ended = opening(folder, 'procmem', { file, edits: [[from, to]] });
  return fell(ended)
    ? [`ended by ${ended.signal ?? ended.status}`]
    : answer<Opening>(ended).problems.map(({ what }) => what);
}

describe.skipIf(!gcc)('a load that runs out of memory', () => {
  it('and takes the process with it is noticed', () => {
    expect(
      openingWith(
        'machine/linux/memory.js',
        'PROT.write, MAP.private, fd, 0);',
        'PROT.write, MAP.private, fd, 0); if (at < 0) process.abort();',
      ),
    ).toEqual(['ended by SIGABRT']);
  });
  it('and leaves a key half converted, which the next load takes for whole, is noticed', () => {
    expect(
      openingWith(
        'machine/process/register.js',
        "fresh: record.word('call') === 0n",
        'fresh: known === null',
      ),
    ).not.toEqual([]);
  });
  it('and leaves what it had begun for others to find is noticed', () => {
    expect(
      openingWith('machine/process/runtime.js', "native.call('munmap', at, 2 * PAGE);", ''),
    ).toContain('there is one runtime or none');
  });
  it('and forgets what it had taken is noticed', () => {
    expect(openingWith('app/open.js', 'runtime.locked(() => engine.release());', '')).toContain(
      'no file is left open',
    );
  });
});

describe.skipIf(!gcc)('a table of sites', () => {
  const bind = (from: string, to: string): Mistake => ({
    file: 'keys/bind.js',
    edits: [[from, to]],
  });
  it('whose double entries are kept is noticed', () => {
    expect(() =>
      expectRight(
        soak(
          withTable(folder, 'twice', [], everySecondTwice),
          WAYS[0],
          0.3,
          {},
          bind('.filter((site, i) => site.at !== list[i - 1]?.at)', ''),
        ),
      ),
    ).toThrow(/two sites overlap/);
  });
  it('whose order is believed is noticed', () => {
    expect(() =>
      expectRight(
        soak(
          withTable(folder, 'backwards', [], backwards),
          WAYS[0],
          0.3,
          {},
          bind('.sort((a, b) => a.at - b.at)', ''),
        ),
      ),
    ).toThrow(/the child ended with/);
  });
});

describe.skipIf(!gcc)('an update from C', () => {
  const program = gcc ? compileProgram(folder, 'updates.c') : '';
  it('that finds the return-0 function by its address is noticed', () => {
    const provider = compileProgram(folder, 'provider.c');
    const consumer = compileProgram(folder, 'consumer.c', ['-Wl,--no-as-needed', provider]);
    const said = answer<{ level: string; bytes: string[] }>(
      child('copies.mjs', [provider, consumer], {
        mistake: {
          file: 'app/worker.js',
          edits: [
            [
              'RETURN0.some((code) => bytes.startsWith(code))',
              "func === native.symbol(native.load(null), '__static_call_return0')",
            ],
          ],
        },
      }),
    );
    expect(said.level).not.toBe('ret0');
    expect(said.bytes).not.toContain('2e2e2e31c0');
  });
  it('whose request is written to after its owner went on is noticed', () => {
    const told =
      "Atomics.store(answer, 0, 1);\n        native.call('futex', at + REQUEST.state, FUTEX_WAKE_PRIVATE, 1);";
    const early: Mistake = {
      file: 'app/worker.js',
      edits: [
        [told, ''],
        ['answer[1] = serve(key, func);', `${told}\n        answer[1] = serve(key, func);`],
      ],
    };
    const ended = child('updates.mjs', [program, 'procmem', 'join'], {
      timeoutMs: 20_000,
      mistake: early,
    });
    if (!fell(ended)) expect(answer<{ joined: number }>(ended).joined).toBeGreaterThan(0);
  });
  it('before there is a runtime that says it was done is noticed', () => {
    const header = readFileSync(`${INCLUDE}/static_call.h`, 'utf8');
    const wrong = header.replaceAll('-ENOSYS', '0');
    expect(wrong).not.toBe(header);
    folder.write('static_call.h', wrong);
    const early = folder.file('early.so');
    must('gcc', [
      '-O2',
      '-shared',
      '-fPIC',
      '-pthread',
      `-I${folder.path}`,
      fileURLToPath(new URL('./programs/updates.c', import.meta.url)),
      '-o',
      early,
    ]);
    const ended = child('updates.mjs', [early, 'procmem']);
    if (!fell(ended)) expect(answer<{ unserved: number }>(ended).unserved).not.toBe(-38);
  });
});

describe.skipIf(!gcc)('a trap handler of a process', () => {
  const handler = (from: string, to: string): Mistake => ({
    file: 'native/sigtrap.js',
    edits: [[from, to]],
  });
  it('that pushes where nothing is called is noticed', () => {
    const pushes =
      "label('skip'),\n    ['mov', 'rdi', mem('rdx', UCONTEXT.rsp)],\n    ['mov', mem('rdi', -8), 'r10'],";
    const got = answer<{ during: { kept: number } }>(
      child(
        'languages.mjs',
        [JSON.stringify({ library: compileProgram(folder, 'odd.c'), what: 'redzone' })],
        { mistake: handler("label('skip'),", pushes) },
      ),
    );
    expect(got.during.kept).toBeLessThan(8);
  });
  const gdb = tool('gdb');
  it.skipIf(!gdb || !tool('g++'))(
    'that leaves no caller for a backtrace is noticed',
    ({ skip }) => {
      const request = {
        library: compileProgram(folder, 'held.cpp'),
        what: 'backtrace',
        gdb,
        only: true,
      };
      const { seen } = answer<{ during: { seen: string } }>(
        child('held.mjs', [JSON.stringify(request)], {
          mistake: handler("['je', 'call'],", "['je', 'jump'],"),
        }),
      ).during;
      if (/ptrace: Operation not permitted/i.test(seen))
        skip('gdb may not attach to a process here');
      expect(seen).toContain('act_stay');
      expect(seen).not.toContain('middle');
    },
  );
});

describe.skipIf(!gcc)('a site', () => {
  it('that somebody put a breakpoint on, written over, is noticed', () => {
    const request = {
      library: compileProgram(folder, 'hazards.c'),
      what: 'a breakpoint of a debugger on a site',
    };
    const blind: Mistake = {
      file: 'native/survey.js',
      edits: [["['cmp', 'r11', COLUMN.old],", "['cmp', 'r11', 'r11'],"]],
    };
    const ended = child('hazards.mjs', [JSON.stringify(request)], { mistake: blind });
    if (!fell(ended))
      expect(answer<{ codes: string[] }>(ended).codes).not.toEqual([
        'foreign-trap',
        'foreign-trap',
      ]);
  });
});

describe.skipIf(!gcc)('annotate', () => {
  const CALLS = (key: string): string =>
    ` .globl f; .type f,@function\nf: call __SCT__a; ret\n .size f,.-f\n .data\n .quad ${key}\n`;
  const annotate = (name: string, source: string, mistake?: Mistake): Ended => {
    const path = folder.write(`${name}.o`, assemble(source));
    const done =
      tool(process.execPath) &&
      child('../../../bin/static-call', ['annotate', path], mistake && { mistake });
    return done as Ended;
  };
  it('that sees only trampolines of its own object is noticed: it finds no site', () => {
    expect(annotate('sees', CALLS('__SCK__a')).stdout).toContain('1 site');
    const own: Mistake = {
      file: 'sites/symbols.js',
      edits: [
        [
          'if (symbols.nameStartsWith(i, TRAMPOLINE_PREFIX))',
          'if (symbols.nameStartsWith(i, TRAMPOLINE_PREFIX) && symbols.defined(i))',
        ],
      ],
    };
    expect(annotate('blind', CALLS('__SCK__a'), own).stdout).not.toContain('1 site');
  });
  it('that goes on where a key is missing is noticed: its status says that all is well', () => {
    expect(annotate('refused', CALLS('other')).status).toBe(3);
    const on: Mistake = { file: 'sites/annotate.js', edits: [['if (unknown) {', 'if (false) {']] };
    expect(annotate('half', CALLS('other'), on).status).not.toBe(3);
  });
});

it('a mistake that cannot be made any more is an error of its own', () => {
  expect(() =>
    child('handler.mjs', ['1', '1'], {
      mistake: { file: 'native/sigtrap.js', edits: [['no such text', '']] },
    }),
  ).toThrow('native/sigtrap.js has 0 places that read: no such text');
  expect(making({ file: 'a', edits: [] })['NODE_OPTIONS']).toContain('preload.mjs');
});
