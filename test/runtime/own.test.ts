import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clang, Folder, gcc, must } from '../build.js';
import { answer, child } from '../process/child.js';
import { built, byHand, emitted, INCLUDE, program, ran, WELL } from './programs.js';
import { LONG } from '../more.js';

const here = process.platform === 'linux' && process.arch === 'x64' && gcc !== null;

describe.skipIf(!here)('a program with a runtime of its own', () => {
  let folder: Folder;
  let own: string;
  let plugin: string;
  beforeAll(() => {
    folder = new Folder();
    own = built(folder, 'own', [program('own.c'), '-pthread', '-ldl']);
    plugin = built(folder, 'plugin.so', ['-shared', '-fPIC', program('plugin.c')]);
  });
  afterAll(() => folder[Symbol.dispose]());

  it.for([
    ['start', 'calls every target directly before main'],
    ['update', 'retargets to a function, to nothing, to return 0 and to a function of libc'],
    ['refused', 'answers what a key cannot have by EINVAL and ENOENT, and changes nothing'],
    ['batch', 'retargets several keys at once'],
    ['foreign', 'answers EBUSY where the breakpoint of another tool stands on a site'],
    ['blocked', 'answers EBUSY while a thread blocks SIGTRAP'],
    [
      'unhurt',
      'switches a hook off and on while a thread blocks SIGTRAP, because that is one byte',
    ],
    ['masked', 'answers EBUSY while a handler runs with SIGTRAP blocked'],
    ['replaced', 'answers EBUSY while another handler of SIGTRAP is installed over its own'],
    ['forked', 'updates in a child of fork, which its parent does not see'],
    ['cloned', 'updates in a child of a raw clone(), which its parent does not see'],
    ['closed', 'writes into no file of a program that closed all descriptors'],
    ['threads', 'updates from two threads while two call'],
    ['signals', 'updates from a signal handler'],
  ])('%s: it %s', ([life = '']) => {
    expect(ran(own, [life])).toMatchObject(WELL);
  });

  it('switches static keys, counts their users and answers as the kernel does', () => {
    const switches = built(folder, 'switches', [program('switches.c'), '-pthread']);
    expect(ran(switches, [])).toMatchObject(WELL);
  });

  it('loads and unloads a library that has a runtime of its own', () => {
    expect(ran(own, ['loaded', plugin])).toMatchObject(WELL);
  });

  describe('what one update asks of the kernel', () => {
    let faults: string;
    beforeAll(() => {
      const runtimeFlags = ['-DSTATIC_CALL_SYSTEM=effect'];
      faults = byHand(folder, { source: program('faults.c'), output: 'calls', runtimeFlags });
    });
    // Of two sites and the trampoline, by a trap.
    const writes = ['pwrite', 'pwrite', 'pwrite', 'membarrier'];
    const after = (question: string): string[] =>
      ['gettid', question, 'sigaction'].concat(writes, writes, writes);
    const asked = (refused: string): string[] => {
      const { status, stdout } = ran(faults, ['calls'], { REFUSED: refused });
      expect(status).toBe(0);
      return stdout.trim().split('\n');
    };

    it('is whose memory the descriptor is, by its mark, and whose the handler is', () =>
      expect(asked('')).toEqual([...after('lseek'), 'pages 1']));

    it.for(['mmap', 'madvise'])(
      'is answered by a word that is read where %s for the page of the mark is refused',
      (refused) => expect(asked(refused)).toEqual([...after('pread'), 'pages 0']),
    );
  });

  it('needs no library but libc', () => {
    expect(must('readelf', ['-dW', own]).match(/NEEDED.*/g)).toHaveLength(1);
  });

  it('has the very page of machine code that a Node process has', () => {
    const page = Buffer.from(ran(own, ['page']).stdout.trim(), 'hex');
    const node = answer<{ page: string; words: number[] }>(
      child('../../runtime/children/page.mjs'),
    );
    const theirs = Buffer.from(node.page, 'hex');
    for (const at of node.words) page.copy(theirs, at, at, at + 8);
    expect(page.length).toBe(4096);
    expect(Buffer.compare(page, theirs)).toBe(0);
  });

  if (LONG)
    it('and Node in one process have one page, one lock, one descriptor and one idea of a key', () => {
      expect(answer(child('../../runtime/children/both.mjs', [plugin]))).toEqual({
        // The descriptor that C opened and marked, by both.
        marked: [true],
        kept: true,
        pages: 1,
        // By C, then by Node, and by C again after Node has closed the object.
        runs: [6, 4, 6, 4, 4, 6],
        target: 'down',
        threads: 0,
      });
    });

  if (LONG)
    it('chooses at load what a library calls, without Node', () => {
      built(folder, 'libdispatch.so', ['-shared', '-fPIC', program('dispatch.c')]);
      const user = folder.file('dispatched');
      const library = folder.file('libdispatch.so');
      must('gcc', ['-O2', program('dispatched.c'), library, '-o', user]);
      const { stdout } = ran(user, []);
      expect(JSON.parse(stdout)).toEqual({ result: 0, direct: 1, hash: 1, count: 1, bits: 16 });
    });

  if (LONG)
    it('is all old, all new or parked, and whole after the next update, whichever effect fails', () => {
      const flags = ['-DSTATIC_CALL_SYSTEM=effect'];
      const faults = byHand(folder, {
        source: program('faults.c'),
        output: 'faults',
        runtimeFlags: flags,
      });
      // By traps, and by one byte.
      for (const [how, least] of [
        ['every', 12],
        ['near', 4],
      ] as const) {
        const { status, stdout } = ran(faults, [how]);
        expect(stdout).toMatch(/^\{/);
        expect(status).toBe(0);
        const { effects, refused, parked } = JSON.parse(stdout) as Record<string, number>;
        expect(effects).toBeGreaterThan(least);
        expect(refused).toBeGreaterThan(least);
        expect(parked).toBeGreaterThan(0);
      }
    });
});

describe.skipIf(!here)('the emitted file', () => {
  it('compiles without a warning, and needs no relocation in its code', () => {
    using folder = new Folder();
    const source = folder.write('runtime.c', emitted());
    const object = folder.file('runtime.o');
    const strict = ['-Wall', '-Wextra', '-Wpedantic', '-Wconversion', '-Wshadow', '-Werror'];
    const words = ['-std=c11', '-O2', ...strict, `-I${INCLUDE}`, '-fPIC', '-c'];
    must('gcc', [...words, source, '-o', object]);
    const library = folder.file('runtime.so');
    must('gcc', ['-shared', '-Wl,-z,text', object, '-o', library]);
    expect(must('readelf', ['-dW', library])).not.toContain('TEXTREL');
  });

  it.for([
    ['gcc', gcc],
    ['clang', clang],
  ] as const)('has by %s at most the code that its page tells', ([name, compiler], { skip }) => {
    if (compiler === null) return skip(`${name} is not installed`);
    using folder = new Folder();
    const source = folder.write('runtime.c', emitted());
    const object = folder.file('runtime.o');
    // As `cc --runtime` compiles it.
    must(compiler, ['-std=c11', '-Os', `-I${INCLUDE}`, '-fPIC', '-c', source, '-o', object]);
    const code = must('size', ['-A', object])
      .split('\n')
      .filter((line) => line.startsWith('.text'))
      .map((line) => Number(line.split(/\s+/)[1]));
    expect(code.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(12 * 1024);
  });

  it('says whose it is and what may be done with it', () => {
    expect(emitted()).toMatch(/^\/\* SPDX-License-Identifier: MIT/);
    expect(emitted()).toContain('Permission is granted, free of charge');
  });
});
