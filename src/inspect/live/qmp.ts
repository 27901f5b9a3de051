// The memory of a virtual machine by QEMU's monitor (QMP): dump-guest-memory stops the machine,
// writes its memory to a file and lets the machine go on. The file is a temporary one.

import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { Fault, isFault } from '../../base/fault.js';
import { TemporaryFolder } from '../../base/folder.js';
import { said } from './bytes.js';

/** Without an answer, and without another byte in the file: a dump takes as long as it is large. */
const PATIENCE_MS = 120_000;

/**
 * The dump and the end of it: the file goes with `Symbol.asyncDispose`.
 * @throws Fault `no-qmp`
 */
export async function dumpByQmp(
  path: string,
  patience: number = PATIENCE_MS,
): Promise<{ readonly file: string } & AsyncDisposable> {
  const folder = new TemporaryFolder('static-call-');
  const remove = (): Promise<void> => folder[Symbol.asyncDispose]();
  try {
    const file = join(folder.path, 'memory');
    const socket = connect(path);
    const watch = watched(socket, file, patience);
    try {
      await once(socket, 'connect', { signal: AbortSignal.timeout(patience) });
      const answers = linesOf(socket);
      await command(socket, answers, 'qmp_capabilities', {});
      await command(socket, answers, 'dump-guest-memory', {
        paging: false,
        protocol: `file:${file}`,
      });
    } finally {
      clearInterval(watch);
      socket.destroy();
    }
    return { file, [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove();
    if (isFault(error)) throw error;
    throw new Fault('no-qmp', `QEMU's monitor does not answer: ${said(error)}`, {
      at: path,
      cause: error,
    });
  }
}

/** Ends the talk when a file has not grown for so long. */
function watched(socket: Socket, file: string, patience: number): NodeJS.Timeout {
  let size = -1;
  return setInterval(() => {
    const now = statSync(file, { throwIfNoEntry: false })?.size ?? -1;
    if (now === size) socket.destroy(silent(patience));
    size = now;
  }, patience);
}

const ONE_CLIENT = 'the monitor serves one client at a time: give it a socket of its own';
const silent = (patience: number): Fault =>
  new Fault('no-qmp', `QEMU's monitor: no answer within ${patience / 1000} s`, {
    hint: ONE_CLIENT,
  });

const MOST = 1 << 20;

async function* linesOf(socket: Socket): AsyncGenerator<string> {
  let text = '';
  for await (const piece of socket) {
    text += Buffer.from(piece).toString('utf8');
    if (text.length > MOST) return;
    const lines = text.split('\n');
    text = lines.pop() ?? '';
    yield* lines;
  }
}

async function command(
  socket: Socket,
  answers: AsyncGenerator<string>,
  execute: string,
  args: object,
): Promise<void> {
  socket.write(`${JSON.stringify({ execute, arguments: args })}\n`);
  // Between them there are events.
  for (let next = await answers.next(); !next.done; next = await answers.next()) {
    const said = answerOf(next.value);
    if (said.error !== undefined)
      throw new Fault('no-qmp', `QEMU refuses ${execute}: ${said.error}`);
    if (said.done) return;
  }
  throw new Fault('no-qmp', `QEMU's monitor closed before ${execute} was done`, {
    hint: ONE_CLIENT,
  });
}

function answerOf(line: string): { readonly done: boolean; readonly error?: string } {
  let answer: unknown;
  try {
    answer = JSON.parse(line);
  } catch {
    throw new Fault('no-qmp', 'what answers at the socket is no monitor of QEMU');
  }
  if (typeof answer !== 'object' || answer === null) return { done: false };
  if ('error' in answer) return { done: true, error: JSON.stringify(answer.error) };
  return { done: 'return' in answer };
}
