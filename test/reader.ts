// Someone who follows a page of the documentation: in an empty folder, with a home of their own,
// static-call and its packages installed, and without root, though the tests may have it.

import { spawnSync } from 'node:child_process';
import { chownSync, cpSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { Folder, nobody } from './build.js';
import { blocks, type Block } from './readme.js';

/** A command of a page, and what came of it. */
export interface Told {
  readonly command: string;
  readonly block: string;
  /** What the page says that it prints, if it says so beside the command. */
  readonly shown: string | null;
  readonly stdout: string;
  readonly status: number;
}

/** What becomes of the text of a page before it is followed. */
export interface Manner {
  /** A reason to leave a block or a command out, or null. */
  readonly leave?: (block: Block, command: string) => string | null;
  readonly instead?: (command: string) => string;
  /** Commands behind the last one of a block, by its name. */
  readonly after?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  /** The statuses that are answers. */
  readonly answers?: readonly number[];
}

interface Command {
  readonly command: string;
  readonly shown: string | null;
}

/** In a block of text a line that begins with `$ ` is a command, and what follows is its answer. */
export function commandsOf({ lang, body }: Block): Command[] {
  const lines = body.replaceAll('\\\n', '').trimEnd().split('\n');
  if (lang === 'sh') return lines.map((command) => ({ command, shown: null }));
  if (lang !== 'text') return [];
  return body
    .split(/^\$ /m)
    .slice(1)
    .map((told) => {
      const [command = '', ...shown] = told.split('\n');
      return { command, shown: shown.join('\n') };
    });
}

/** Numbers differ from run to run. */
export const alike = (text: string): string => text.replaceAll(/\d[\d,.]*/g, 'N').trimEnd();

const quoted = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;
/** Between what commands print: no command prints it. */
const MARK = '\u{1e}';

export class Reader implements Disposable {
  readonly #folder = new Folder();
  /** Null where the user who runs the tests is the reader. */
  readonly #user = nobody();
  readonly #installed: string;

  constructor() {
    for (const name of ['home', 'bin', 'here']) mkdirSync(this.#folder.file(name));
    this.#installed = this.#install();
    symlinkSync(
      join(this.#installed, 'static-call/bin/static-call'),
      this.#folder.file('bin/static-call'),
    );
    this.#own(this.#folder.path);
    for (const name of ['home', 'here']) this.#own(this.#folder.file(name));
  }

  [Symbol.dispose](): void {
    this.#folder[Symbol.dispose]();
  }

  /** Where the reader begins. */
  file(name: string): string {
    return join(this.#folder.path, 'here', name);
  }

  write(name: string, content: string): string {
    const path = this.#folder.write(join('here', name), content);
    this.#own(path);
    return path;
  }

  /** As `npm install` makes it, without a registry. */
  modules(...names: readonly string[]): void {
    const path = this.file('node_modules');
    mkdirSync(join(path, '.bin'), { recursive: true });
    for (const name of ['static-call', ...names]) {
      mkdirSync(dirname(join(path, name)), { recursive: true });
      symlinkSync(join(this.#installed, name), join(path, name));
    }
    symlinkSync('../static-call/bin/static-call', join(path, '.bin/static-call'));
    if (names.includes('typescript')) symlinkSync('../typescript/bin/tsc', join(path, '.bin/tsc'));
  }

  /** Folders of a checkout, in which some pages are at home. */
  checkout(...names: readonly string[]): void {
    for (const name of names)
      symlinkSync(join(this.#installed, 'static-call', name), this.file(name));
  }

  /** A program of the reader's own, before those of the machine. */
  command(name: string, script: string): void {
    const path = this.#folder.write(`bin/${name}`, `#!/bin/sh\n${script}\n`);
    spawnSync('chmod', ['755', path]);
  }

  /** Runs lines of shell; their children end with them. */
  run(lines: string, env: Readonly<Record<string, string>> = {}) {
    return spawnSync('timeout', ['-k', '1', '900', 'sh', '-c', lines], {
      cwd: this.file('.'),
      encoding: 'utf8',
      maxBuffer: 1 << 28,
      env: {
        HOME: this.#folder.file('home'),
        PATH: [this.#folder.file('bin'), dirname(process.execPath), process.env['PATH']].join(':'),
        npm_config_update_notifier: 'false',
        ...env,
      },
      ...this.#user,
    });
  }

  has(...tools: readonly string[]): boolean {
    return tools.every((name) => this.run(`command -v ${name}`).status === 0);
  }

  /**
   * Does what a page says, in its order, each file written where its block stands.
   *
   * @throws Error with the command that the page cannot mean, and its complaint
   */
  follow(page: string, manner: Manner = {}): Told[] {
    const { leave = () => null, instead = (command) => command, after = {} } = manner;
    const steps = blocks(page).flatMap((block) => {
      const { name, lang, body } = block;
      const commands = commandsOf(block).filter(({ command }) => leave(block, command) === null);
      if (commands.length > 0)
        return [
          ...commands.map(({ command, shown }) => step(name, instead(command), shown)),
          ...(after[name] ?? '').split('\n').map((line) => (line ? step(name, line, null) : '')),
        ];
      const isFile = lang !== 'sh' && lang !== 'text' && name !== '' && leave(block, '') === null;
      return isFile ? [`cat > ${name} <<'END'\n${body}END`] : [];
    });
    const statuses = (manner.answers ?? [0]).join(' ');
    const script = [
      `trap 'kill $! 2>/dev/null' EXIT`,
      `told() { printf '${MARK}?%s' $1; case ' ${statuses} ' in *" $1 "*) ;; *) exit 9 ;; esac; }`,
      ...steps,
    ].join('\n');
    const { stdout, stderr, status } = this.run(script, manner.env);
    const told = read(stdout);
    const last = told.at(-1);
    if (status !== 0 || /error\[/.test(stderr))
      throw new Error(`${last?.command}: ${last?.status}\n${last?.stdout}\n${stderr}`);
    return told;
  }

  #own(path: string): void {
    if (this.#user) chownSync(path, this.#user.uid, this.#user.gid);
  }

  /** The checkout itself where the reader may read it, else a copy of what a user has of it. */
  #install(): string {
    const into = this.#folder.file('lib/node_modules');
    const mine = join(into, 'static-call');
    mkdirSync(into, { recursive: true });
    const packages = readdirSync('node_modules').filter((name) => !name.startsWith('.'));
    if (this.#user === null || nobody(resolve('bin/launch.sh')) !== null) {
      for (const name of packages) symlinkSync(resolve('node_modules', name), join(into, name));
      symlinkSync(process.cwd(), mine);
      return into;
    }
    const copy = { recursive: true, dereference: true };
    for (const name of packages.filter((each) => USED.test(each)))
      cpSync(join('node_modules', name), join(into, name), copy);
    for (const name of SHIPPED) cpSync(name, join(mine, name), copy);
    return into;
  }
}

const SHIPPED = 'package.json bin dist docs examples include schemas scripts share'.split(' ');
const USED = /^(koffi|@koromix|@stricli|typescript|@typescript|@types)$/;

const step = (block: string, command: string, shown: string | null): string => {
  const head = JSON.stringify({ block, command, shown });
  return `printf '${MARK}$%s\\n' ${quoted(head)}\n${command}\ntold $?`;
};

function read(transcript: string): Told[] {
  return transcript
    .split(`${MARK}$`)
    .slice(1)
    .map((each) => {
      const [head = '', rest = ''] = [
        each.slice(0, each.indexOf('\n')),
        each.slice(each.indexOf('\n') + 1),
      ];
      const [stdout = '', status = 'none'] = rest.split(`${MARK}?`);
      return { ...(JSON.parse(head) as Told), stdout, status: Number.parseInt(status, 10) };
    });
}
