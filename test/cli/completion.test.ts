import { spawnSync } from 'node:child_process';
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Folder, tool } from '../build.js';
import { line } from './line.js';

const proposed = async (...words: string[]): Promise<string[]> =>
  (await line(['__complete', ...words])).stdout
    .trimEnd()
    .split('\n')
    .map((text) => text.split('\t')[0]!);

describe('what may stand next', () => {
  it.each([
    [['ch'], 'check'],
    [['check', 'int3-g'], 'int3-gap'],
    [['check', '--fe'], '--fetch'],
    [['check', '--fetch', 'F1'], 'F1d'],
    [['completion', 'z'], 'zsh'],
    [['cc', '--align', 'q'], 'qword'],
  ])('after %j is %s', async (words, next) => {
    expect(await proposed(...words)).toContain(next);
  });
  it('is nothing behind --, where the shell completes files', async () => {
    expect(await proposed('cc', '--', 'gc')).toEqual(['']);
  });
});

/** A folder with `static-call` on the path, as npm installs it. */
function withCommand(run: (env: NodeJS.ProcessEnv) => void): void {
  using folder = new Folder();
  mkdirSync(folder.file('bin'));
  symlinkSync(join(process.cwd(), 'bin/static-call'), folder.file('bin/static-call'));
  run({ ...process.env, PATH: `${folder.file('bin')}:${process.env['PATH']}`, HOME: folder.path });
}

/** Each prints what the shell would offer after `static-call che`. */
const ASK = {
  bash: `eval "$(static-call completion bash)"
    COMP_WORDS=(static-call che) COMP_CWORD=1; _static_call; printf '%s\\n' "\${COMPREPLY[@]}"`,
  // Without a terminal there is no completion system: what it would be handed is printed.
  zsh: `compdef() { print -r -- "for $2" }; _describe() { print -rl -- "\${(@P)2}" }
    eval "$(static-call completion zsh)"
    words=(static-call che); CURRENT=2; _static_call`,
  fish: `static-call completion fish | source; complete --do-complete 'static-call che'`,
} as const;

describe.each(Object.entries(ASK))('%s', (shell, script) => {
  it.skipIf(tool(shell) === null)(`offers a command (skipped without ${shell})`, () => {
    withCommand((env) => {
      const { stdout, stderr } = spawnSync(shell, ['-c', script], { encoding: 'utf8', env });
      expect(stderr).toBe('');
      expect(stdout).toMatch(/^check\b/m);
      expect(stdout).not.toContain('inspect');
    });
  });
});

describe('the words for a build', () => {
  it('are one line, or those that are asked for', async () => {
    const include = (await line(['include'])).stdout.trim();
    const align = '-Wa,-malign-branch-boundary=64 -Wa,-malign-branch=call+jmp';
    expect((await line(['flags', '--cflags'])).stdout).toBe(`-I${include}\n`);
    expect((await line(['flags', '--libs'])).stdout).toBe('\n');
    expect((await line(['flags'])).stdout).toBe(`-I${include} ${align}\n`);
    expect((await line(['flags', '--align', '--clang'])).stdout).toMatch(/^-mllvm -x86-align/);
  });
  it('or a directory alone', async () => {
    expect((await line(['flags', '--cmake', '--libs'])).status).toBe(2);
    expect((await line(['flags', '--pkg-config'])).stdout).toMatch(/share\/pkgconfig\n$/);
  });
});
