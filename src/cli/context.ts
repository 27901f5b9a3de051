// What a command is given besides its flags: where its answer and its remarks go, how to colour
// them, and when to stop. Commands write through it and never to `process`, so that a test runs
// them in its own process and reads what they said. Only the answer goes to stdout; everything else
// to stderr.

import { styleText } from 'node:util';
import { EXIT } from '../base/fault.js';

export interface Stream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
  getColorDepth?(env?: object): number;
}

export interface Streams {
  readonly stdout: Stream;
  readonly stderr: Stream;
  readonly env: Readonly<Record<string, string | undefined>>;
}

type Style = Parameters<typeof styleText>[0];
/** Colours text, or hands it back as it is. Never the only carrier of a meaning. */
export type Paint = (style: Style, text: string) => string;

export interface Context {
  /** The answer: stdout, with a line end added. */
  print(text: string): void;
  /** Anything else: stderr, with a line end added. */
  note(text: string): void;
  /** The answer of `--json`: one value whose `schema` is `static-call/<name>@<version>`. */
  json(schema: string, value: object): void;
  readonly paint: Paint;
  /** For progress.ts, which draws over its own line. */
  readonly stderr: Stream;
  readonly env: Streams['env'];
  /**
   * Aborts at the first Ctrl-C; the second one ends the process at once. Asking for it is what
   * takes over SIGINT: a command that never asks ends by the signal, as without a listener.
   */
  readonly signal: AbortSignal;
}

/**
 * NO_COLOR, FORCE_COLOR, TERM=dumb and a stream that is no terminal, in the order the field gives
 * them.
 */
function coloured(stream: Stream, env: Streams['env']): boolean {
  if (env['NO_COLOR']) return false;
  if (env['FORCE_COLOR'] !== undefined)
    return env['FORCE_COLOR'] !== '0' && env['FORCE_COLOR'] !== 'false';
  return (stream.getColorDepth?.(env) ?? 1) > 2;
}

export function paintFor(stream: Stream, env: Streams['env']): Paint {
  // validateStream would ask the real stdout, whichever stream this is.
  return coloured(stream, env)
    ? (style, text) => styleText(style, text, { validateStream: false })
    : (_, text) => text;
}

/** Bits of 64 have no JSON number: addresses are hex strings. */
function asJson(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? `0x${value.toString(16)}` : value;
}

/**
 * A Context, the way to give SIGINT back after the command, and whether there was a Ctrl-C or a
 * `json()`.
 */
export function contextFor(
  streams: Streams,
): Context & { release(): void; interrupted(): boolean; answered(): boolean } {
  let answered = false;
  let abort: AbortController | undefined;
  const onInterrupt = (): void => {
    if (abort!.signal.aborted) process.exit(EXIT.interrupted);
    abort!.abort(new DOMException('interrupted by Ctrl-C', 'AbortError'));
  };
  return {
    print: (text) => void streams.stdout.write(`${text}\n`),
    note: (text) => void streams.stderr.write(`${text}\n`),
    json(schema, value) {
      answered = true;
      streams.stdout.write(`${JSON.stringify({ schema, ...value }, asJson, 2)}\n`);
    },
    paint: paintFor(streams.stdout, streams.env),
    stderr: streams.stderr,
    env: streams.env,
    get signal() {
      if (!abort) {
        abort = new AbortController();
        process.on('SIGINT', onInterrupt);
      }
      return abort.signal;
    },
    release: () => void process.off('SIGINT', onInterrupt),
    answered: () => answered,
    interrupted: () => abort?.signal.aborted ?? false,
  };
}
