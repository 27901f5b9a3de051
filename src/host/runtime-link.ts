// A link that gives the program a runtime of its own, as a list of commands. The table of sites
// must be in the objects when they are linked, because no loaded section can be added afterwards.
// So sources are compiled and annotated first, one by one. With link-time optimisation the machine
// code is made by the linker: it makes one relocatable object of everything, that is annotated, and
// then linked.

import { basename, join } from 'node:path';
import type { Compilation, Word } from './compilation.js';

export interface LinkStep {
  readonly command: readonly string[];
  /** The object that the command makes and that gets its table; null for what needs none. */
  readonly annotated: string | null;
}

export interface RuntimeLink {
  readonly compiler: readonly string[];
  readonly made: Compilation;
  /** What `cc` adds to every command that makes code. */
  readonly more: readonly string[];
  /** Where the header is. */
  readonly include: string;
  /** A folder for what is in between, with the runtime's source in it. */
  readonly folder: string;
  readonly clang: boolean;
}

export const RUNTIME_FILE = 'static_call_runtime.c';
export const RUNTIME_MACRO = '-DSTATIC_CALL_RUNTIME';

/** What says for which machine and against which libc is compiled. */
const FOR_TARGET =
  /^(-m(?!llvm)|--target=|--sysroot=|-B.|-fcf-protection|-specs=|--gcc-toolchain=)/;
/** Of no meaning where nothing is linked, and gcc warns of libraries. */
const LINKS_ONLY = /^(-l|-L|-Wl,|-shared$|-static|-pie$|-no-pie$|-rdynamic$|-s$)/;
const IS_LTO = /^-f(lto|use-linker-plugin|fat-lto)/;
const OBJECT = /\.(o|obj|lo|a)$/;

/** Words with their values, as they belong together. */
function together(words: readonly Word[]): Word[][] {
  const all: Word[][] = [];
  for (const word of words) {
    if (word.is === 'value') all.at(-1)?.push(word);
    else all.push([word]);
  }
  return all;
}

const texts = (words: readonly Word[][]): string[] => words.flat().map(({ text }) => text);
const startsWith = ([first]: readonly Word[], pattern: RegExp): boolean =>
  first !== undefined && pattern.test(first.text);

export function runtimeLink(link: RuntimeLink): readonly LinkStep[] {
  const { compiler, made, more, folder, clang } = link;
  const words = together(made.words.filter(({ text }) => text !== '--'));
  const options = words.filter(([word]) => word?.is === 'option');
  const compiles = texts(
    options.filter((each) => !startsWith(each, LINKS_ONLY) && !startsWith(each, /^(-o|-Xlinker)/)),
  );
  const quiet = clang ? ['-Qunused-arguments'] : [];
  const steps: LinkStep[] = [];
  const compiled = words.map(([word], i): readonly string[] => {
    if (word?.is !== 'source') return [];
    const output = join(folder, `${i}-${basename(word.text)}.o`);
    const command = [...compiler, ...compiles, ...quiet, ...more, '-c', word.text, '-o', output];
    steps.push({ command, annotated: output });
    return [output];
  });
  steps.push(runtime(link));
  // What was told of the sources' language does not hold for the objects in their place.
  const objects = words.map((each, i): readonly string[] => {
    if (startsWith(each, /^(-x|--language)/)) return [];
    return compiled[i]?.length ? compiled[i] : texts([each]);
  });
  const whole = made.lto ? join(folder, 'whole.o') : null;
  const own = join(folder, 'runtime.o');
  if (whole === null) {
    steps.push({ command: [...compiler, ...objects.flat(), ...more, own], annotated: null });
    return steps;
  }
  const inside = objects.map((each, i) => {
    const [word] = words[i] ?? [];
    return word?.is === 'source' || (word?.is === 'linked' && OBJECT.test(word.text)) ? each : [];
  });
  const native = clang ? [] : ['-flinker-output=nolto-rel'];
  const partial = ['-r', '-nostdlib', ...native, ...inside.flat(), '-o', whole];
  steps.push({
    command: [...compiler, ...compiles, ...linkers(words), ...quiet, ...more, ...partial],
    annotated: whole,
  });
  const rest = objects.filter(
    (each, i) => inside[i]?.length === 0 && !startsWith(words[i] ?? [], IS_LTO) && each.length > 0,
  );
  steps.push({ command: [...compiler, whole, ...rest.flat(), own], annotated: null });
  return steps;
}

/** Which linker makes the code. */
const linkers = (words: readonly Word[][]): string[] =>
  texts(words.filter((each) => startsWith(each, /^(-fuse-ld=|--ld-path=)/)));

/**
 * The runtime's own object, the same for a program and a library. It is compiled by itself, because
 * the link's words may be those of another language, or ask for warnings as errors.
 */
function runtime({ compiler, made, include, folder }: RuntimeLink): LinkStep {
  const target = texts(together(made.words).filter((each) => startsWith(each, FOR_TARGET)));
  const command = [
    ...compiler,
    ...target,
    '-x',
    'c',
    '-std=c11',
    '-Os',
    '-fPIC',
    `-I${include}`,
    '-c',
    join(folder, RUNTIME_FILE),
    '-o',
    join(folder, 'runtime.o'),
  ];
  return { command, annotated: null };
}
