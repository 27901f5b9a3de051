// What the documentation shows is run: the README's program as it stands, and the examples of what the package exports.

import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Folder, gcc, must } from './build.js';

/** A folder in which `static-call` and what it needs are installed, and can be typed on a command line. */
function project(): Folder {
  const folder = new Folder();
  mkdirSync(folder.file('node_modules/@types'), { recursive: true });
  symlinkSync(process.cwd(), folder.file('node_modules/static-call'));
  for (const name of ['koffi', '@types/node']) symlinkSync(join(process.cwd(), 'node_modules', name), folder.file(`node_modules/${name}`));
  folder.write('package.json', '{ "type": "module" }');
  return folder;
}
const shell = (folder: Folder, command: string): { status: number | null; stdout: string; stderr: string } =>
  spawnSync('sh', ['-ec', command], { cwd: folder.path, encoding: 'utf8', env: { ...process.env, PATH: `${process.cwd()}/bin${delimiter}${process.env['PATH']}` } });

/** Strictly compiled, then run by this Node; what it prints. */
function runTypeScript(folder: Folder, name: string): string {
  const options = ['--strict', '--noUncheckedIndexedAccess', '--target', 'es2022', '--lib', 'es2023,esnext.disposable', '--module', 'nodenext', '--types', 'node', '--skipLibCheck'];
  const compiled = spawnSync(process.execPath, [join(process.cwd(), 'node_modules/typescript/bin/tsc'), ...options, name], { cwd: folder.path, encoding: 'utf8' });
  if (compiled.status !== 0) throw new Error(compiled.stdout);
  return must(process.execPath, [name.replace(/\.ts$/, '.js')], folder.path);
}

const fences = (text: string): { lang: string; name: string; body: string }[] => [...text.matchAll(/^```(\w*) ?(\S*)\n([\s\S]*?)^```$/gm)].map(([, lang, name, body]) => ({ lang: lang!, name: name!, body: body! }));
const readme = readFileSync('README.md', 'utf8');

describe('the README', () => {
  const [c, ts] = ['c', 'ts'].map((lang) => fences(readme).filter((fence) => fence.lang === lang));
  const commands = fences(readme).filter(({ lang }) => lang === 'sh').flatMap(({ body }) => body.trim().split('\n'));

  it('is one screen: eight lines of C, one compile command, eight lines of TypeScript', () => {
    expect(readme.split('\n').length).toBeLessThan(100);
    expect([c!.length, ts!.length]).toEqual([1, 1]);
    expect([c![0]!.body, ts![0]!.body].map((body) => body.trimEnd().split('\n').length)).toEqual([8, 8]);
    expect(commands.filter((command) => command.startsWith('gcc'))).toHaveLength(1);
  });

  it('shows a program that does what it says', ({ skip }) => {
    skip(!gcc, 'gcc is not installed');
    using folder = project();
    for (const { name, body } of [...c!, ...ts!]) folder.write(name, body);
    for (const command of commands) expect(shell(folder, command), command).toMatchObject({ status: 0, stdout: '', stderr: '' });
    const promised = [...ts![0]!.body.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm)].map((match) => match[1]);
    expect(new Set(promised).size).toBeGreaterThan(1);
    expect(runTypeScript(folder, ts![0]!.name)).toBe(`${promised.join('\n')}\n`);
    // It would be seen not to: a target that the program does not declare neither compiles nor runs.
    folder.write('wrong.ts', ts![0]!.body.replace('blend_max', 'blend_min'));
    expect(() => runTypeScript(folder, 'wrong.ts')).toThrow(/"blend_min"' is not assignable/);
  });

  it('leads only to what is there', () => {
    const links = [...readme.matchAll(/\]\((?!https?:)([^)#]+)[^)]*\)/g)].map((match) => match[1]!);
    expect(links.length).toBeGreaterThan(2);
    for (const link of links) expect(() => readFileSync(link), link).not.toThrow();
  });
});

describe('the examples of what is exported', () => {
  /** The names that a door exports, without types, with the file that defines each. */
  const exported = (door: string): { name: string; file: string }[] =>
    [...readFileSync(door, 'utf8').matchAll(/^export \{([^}]*)\} from '(.*)\.js';$/gm)].flatMap(([, names, from]) =>
      names!.split(',').map((name) => name.trim()).filter((name) => name && !name.startsWith('type ')).map((name) => ({ name, file: join(door, '..', `${from}.ts`) })),
    );
  /** The docstring before a definition. */
  const docstring = (file: string, name: string): string =>
    new RegExp(`/\\*\\*((?:(?!\\*/)[\\s\\S])*)\\*/\\s*export (?:async )?(?:declare )?(?:function|class|const) ${name}\\b`).exec(readFileSync(file, 'utf8'))?.[1]?.replace(/^\s*\* ?/gm, '') ?? '';
  const example = (text: string): string | undefined => /^@example\s*([\s\S]*?)(?=^@|(?![\s\S]))/m.exec(text)?.[1];

  it('are there: each has a docstring, each function an example', () => {
    const names = exported('src/index.ts');
    expect(names.map(({ name }) => name)).toContain('open');
    for (const { name, file } of names) {
      expect(docstring(file, name), `${name} in ${file}`).not.toBe('');
      if (new RegExp(`export (async )?function ${name}\\b`).test(readFileSync(file, 'utf8')) && !name.startsWith('is')) expect(example(docstring(file, name)), name).toBeDefined();
    }
  });

  it('run', ({ skip }) => {
    skip(!gcc, 'gcc is not installed');
    using folder = project();
    for (const file of ['filters.c', 'filters.keys.ts']) folder.write(file, readFileSync(`test/types/${file}`));
    expect(shell(folder, 'gcc -O2 -shared -fPIC -I"$(static-call include)" filters.c -o libfilters.so')).toMatchObject({ status: 0, stderr: '' });
    const bodies = exported('src/index.ts').flatMap(({ name, file }) => example(docstring(file, name)) ?? []);
    expect(bodies.length).toBeGreaterThan(1);
    // Each in a block of its own; `app` is the open library where an example does not open it itself.
    const program = ["import * as api from 'static-call';", "import type { Filters } from './filters.keys.js';", 'const { Fault, isFault, open, unchecked } = api;', 'void [Fault, isFault, open, unchecked];',
      ...bodies.map((body) => `{\n${/\bapp = /.test(body) ? '' : "const app = open<Filters>('./libfilters.so');\n"}${body.trim()}\napp.close();\nconsole.log('done');\n}`)];
    folder.write('examples.ts', program.join('\n'));
    expect(runTypeScript(folder, 'examples.ts').match(/^done$/gm)).toHaveLength(bodies.length);
  });
});
