// A failure to the text that a user sees and the status that a script sees. A Fault is told in
// three lines without a stack, for it is an answer; anything else is a bug of ours and carries what
// its report needs.

import { EXIT, isFault } from '../base/fault.js';
import { printable } from '../base/printable.js';
import type { Paint } from './context.js';

/** The same for a program: the value of `--json` where a command fails, but for its status. */
export interface Failure {
  /** A code of docs/faults.md, or `bug`. */
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  readonly at?: string;
  readonly cause?: string;
}

export interface Report {
  readonly text: string;
  readonly exit: number;
  readonly failure: Failure;
}

export function report(error: unknown, version: string, paint: Paint): Report {
  if (isFault(error)) {
    const lines = [`${paint(['bold', 'red'], `error[${error.code}]:`)} ${error.message}`];
    if (error.at !== undefined) lines.push(`  at ${error.at}`);
    const cause = error.cause instanceof Error ? error.cause.message : '';
    const told = cause !== '' && !error.message.includes(cause);
    if (told) lines.push(`  cause: ${indented(cause)}`);
    lines.push(`  hint: ${error.hint}`);
    const failure = {
      code: error.code,
      message: error.message,
      hint: error.hint,
      ...(error.at === undefined ? {} : { at: error.at }),
      ...(told ? { cause: printable(cause) } : {}),
    };
    return { text: lines.join('\n'), exit: error.exit, failure };
  }
  const stack = indented(error instanceof Error ? (error.stack ?? error.message) : String(error));
  const title = paint(['bold', 'red'], 'error[bug]:');
  const hint = 'this is our mistake; please report these lines';
  const where = `in static-call ${version} on node ${process.versions.node}, ${process.platform} ${process.arch}`;
  return {
    text: `${title} ${stack}\n  ${where}\n  hint: ${hint}`,
    exit: EXIT.bug,
    failure: { code: 'bug', message: stack, at: where, hint },
  };
}

/**
 * A compiler's words or a stack: several lines, each printable. The indentation keeps a line of
 * them from looking like one of ours.
 */
function indented(text: string): string {
  return text
    .split('\n')
    .map((line) => printable(line.trimEnd()))
    .join('\n    ');
}

/**
 * A wrong use of the command line, in the shape of a Fault. The parser words the finding; `better`
 * is a hint that knows more than the parser's.
 */
export function usage(message: string, better?: string): Omit<Report, 'exit'> {
  const { found, hint: known } = splitHint(printable(message));
  const hint = better ?? known ?? 'see --help';
  return {
    text: `error[bad-usage]: ${found}\n  hint: ${hint}`,
    failure: { code: 'bad-usage', message: found, hint },
  };
}

/** The parser appends its suggestion to its message; a suggestion is a hint. */
function splitHint(message: string): { found: string; hint?: string } {
  const at = message.search(/,? did you mean /);
  if (at < 0) return { found: message };
  return { found: message.slice(0, at), hint: message.slice(at).replace(/^,? /, '') };
}
