// Inputs for tests, made from text a reader can follow: assembled, compiled and linked by the tools
// of the machine. No binary file lives in the repository. A tool that is missing makes its tests
// skip and say so.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const found = new Map<string, string | null>();

/** The first of some programs that starts, or null. */
export function tool(...names: string[]): string | null {
  for (const name of names) {
    if (!found.has(name))
      found.set(
        name,
        spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0 ? name : null,
      );
    if (found.get(name)) return name;
  }
  return null;
}

export const gcc: string | null = tool('gcc');
export const clang: string | null = tool(
  'clang',
  'clang-14',
  'clang-15',
  'clang-16',
  'clang-17',
  'clang-18',
  'clang-19',
);

export class Folder implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), 'static-call-'));
  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
  file(name: string): string {
    return join(this.path, name);
  }
  write(name: string, content: string | Uint8Array): string {
    writeFileSync(this.file(name), content);
    return this.file(name);
  }
  read(name: string): Buffer {
    return readFileSync(this.file(name));
  }
}

/** Runs a tool and returns what it printed; throws with its complaint where it fails. */
export function must(command: string, args: readonly string[], cwd?: string): string {
  const done = spawnSync(command, args, {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    ...(cwd === undefined ? {} : { cwd }),
  });
  if (done.status !== 0)
    throw new Error(`${command} ${args.join(' ')}\n${done.error?.message ?? ''}${done.stderr}`);
  return done.stdout;
}

/** One source text to one file, by a compiler driver: `build(gcc, '.c', text, ['-O2', '-c'])`. */
export function build(
  compiler: string,
  extension: string,
  source: string,
  flags: readonly string[],
): Buffer {
  using folder = new Folder();
  const input = folder.write(`in${extension}`, source);
  must(compiler, [...flags, '-o', folder.file('out'), input]);
  return folder.read('out');
}

/** Assembler text (AT&T) to a relocatable object. */
export function assemble(source: string, flags: readonly string[] = []): Buffer {
  return build('gcc', '.s', source, ['-c', ...flags]);
}

/**
 * The definition of a key in C as the kernel's header lays it out, without that header: for tests
 * of what reads it.
 */
export function defineKey(
  name: string,
  target: string,
  visibility: 'default' | 'hidden' = 'default',
): string {
  return `
extern __typeof__(${target}) __SCT__${name} __attribute__((visibility("${visibility}")));
struct { void *func; unsigned long type; } __SCK__${name} = { (void *)${target}, 1 };
__asm__(".pushsection .static_call.text, \\"ax\\"\\n"
  ".balign 4\\n.globl __SCT__${name}\\n.type __SCT__${name}, @function\\n"
  "__SCT__${name}: jmp.d32 ${target}\\n.byte 0x0f, 0xb9, 0xcc\\n.size __SCT__${name}, 8\\n.popsection");
`;
}

/**
 * A user who owns nothing, for `spawn`, where this one is root and that one may run this node and
 * read these files; else null, and what is run is run by this user.
 */
export function nobody(...files: readonly string[]): { uid: number; gid: number } | null {
  const other = { uid: 65_534, gid: 65_534 };
  if (process.getuid?.() !== 0) return null;
  const may = (how: string, path: string): boolean =>
    spawnSync('test', [how, path], other).status === 0;
  return may('-x', process.execPath) && files.every((path) => may('-r', path)) ? other : null;
}

/** The same user, to whom a folder is given with all that is in it. */
export function owner({ path }: Folder, ...files: readonly string[]): ReturnType<typeof nobody> {
  const other = nobody(...files);
  if (other) must('chown', ['-hR', `${other.uid}:${other.gid}`, path]);
  return other;
}

/** What npm says of a package that it has packed. */
export interface Packed {
  readonly filename: string;
  readonly files: readonly { readonly path: string; readonly mode: number }[];
}

/** Packs this package into a folder, as it would be published. */
export function packInto({ path }: Folder): Packed {
  const said = must('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', path]);
  return (JSON.parse(said) as [Packed])[0];
}
