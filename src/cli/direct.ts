// `cc -- COMPILER...`, which a build runs for each of its files, without the parser: to load that
// takes as long as all else that the command does. With flags of its own, `cc` is a command like
// any other (app.ts).

import type { Flags } from './commands/cc.js';
import { contextFor, paintFor, type Streams } from './context.js';

/** What the flags of `cc` are where they are not given. */
export const CC_FLAGS = { align: 'line', runtime: false, verbose: false, json: false } as const;

/** @param words the compiler's command */
export async function runDirect(
  words: readonly string[],
  streams: Streams,
  version: () => string,
): Promise<number> {
  const context = contextFor(streams);
  const flags: Flags = CC_FLAGS;
  try {
    const { run } = await import('./commands/cc.js');
    return await run(context, flags, ...words);
  } catch (error) {
    const { report } = await import('./report.js');
    const { text, exit } = report(error, version(), paintFor(streams.stderr, streams.env));
    context.note(text);
    return exit;
  }
}
