// `cc -- COMPILER...`, which a build runs for each of its files, without the parser: to load that
// takes as long as all else that the command does. With flags of its own, `cc` is a command like
// any other (app.ts).

import { EXIT } from '../base/fault.js';
import type { Flags } from './commands/cc.js';
import { contextFor, paintFor, type Context, type Streams } from './context.js';

/** What the flags of `cc` are where they are not given. */
export const CC_FLAGS = { align: 'line', runtime: false, verbose: false, json: false } as const;

/** @param words the compiler's command */
export async function runDirect(
  words: readonly string[],
  streams: Streams,
  version: () => string,
): Promise<number> {
  const flags: Flags = CC_FLAGS;
  return reported(streams, version, async (context) => {
    const { run } = await import('./commands/cc.js');
    return run(context, flags, ...words);
  });
}

/**
 * What is left of `cc` for an object whose compiler has run already. Nothing comes of a compiler
 * that was killed before its status was written.
 * @param said the compiler's status
 */
export async function tabulateDirect(
  path: string,
  said: string,
  streams: Streams,
  version: () => string,
): Promise<number> {
  return reported(streams, version, async () => {
    const status = Number.parseInt(said, 10);
    if (Number.isNaN(status)) return EXIT.bug;
    if (status !== EXIT.good) return status;
    const { tabulateFile } = await import('./commands/cc.js');
    await tabulateFile(path, true);
    return EXIT.good;
  });
}

async function reported(
  streams: Streams,
  version: () => string,
  run: (context: Context) => Promise<number>,
): Promise<number> {
  const context = contextFor(streams);
  try {
    return await run(context);
  } catch (error) {
    const { report } = await import('./report.js');
    const { text, exit } = report(error, version(), paintFor(streams.stderr, streams.env));
    context.note(text);
    return exit;
  }
}
