// Arguments to an exit status. `--version` is answered here, before the parser is loaded: scripts
// ask for it in loops and it must cost no more than node itself.

import { version } from '../host/version.js';
import type { Streams } from './context.js';

/** Asked by the scripts of `completion`, and no command for a person. */
const COMPLETE = '__complete';
/** Asked by bin/beside.cjs, where the compiler has run already. */
const TABULATE = '__tabulate';

/**
 * Runs one command line and says how it ended: 0 good, 1 the answer is "no", 2 usage, 3 input
 * refused, 4 environment refused, 70 a bug of ours, 130 after Ctrl-C.
 */
export async function main(argv: readonly string[], streams: Streams = process): Promise<number> {
  if (argv.length === 1 && (argv[0] === '--version' || argv[0] === '-v')) {
    streams.stdout.write(`${version()}\n`);
    return 0;
  }
  // `static-call inspect DIR | head` closes our stdout, which is no error.
  if (streams === process) {
    process.stdout.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(0);
      process.stderr.write(
        `error[unwritable-file]: standard output cannot be written (${error.code})\n` +
          '  hint: the answer is lost; make room for it\n',
      );
      process.exit(3);
    });
  }
  // What a build runs for each of its files; it must not cost the parser either.
  const [command, escape, ...words] = argv;
  if (command === 'cc' && escape === '--' && words.length > 0)
    return (await import('./direct.js')).runDirect(words, streams, version);
  if (command === TABULATE && escape !== undefined)
    return (await import('./direct.js')).tabulateDirect(escape, words[0] ?? '', streams, version);
  const { complete, runCommandLine } = await import('./app.js');
  if (argv[0] === COMPLETE) return complete(argv.slice(1), streams, version());
  return runCommandLine(argv, streams, version());
}
