// The memory of a virtual machine by QEMU's monitor (QMP): dump-guest-memory stops the machine,
// writes its memory to a file and lets the machine go on. The file is a temporary one.

import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { Fault, isFault } from '../../base/fault.js';
import { TemporaryFolder } from '../../base/folder.js';
import { said } from './bytes.js';

const PATIENCE_MS = 120_000;

/**
 * The dump and the end of it: the file goes with `Symbol.asyncDispose`.
 * @throws Fault `no-qmp`
 */
export async function dumpByQmp(
  path: string,
): Promise<{ readonly file: string } & AsyncDisposable> {
  const folder = new TemporaryFolder('static-call-');
  const remove = (): Promise<void> => folder[Symbol.asyncDispose]();
  try {
    const file = join(folder.path, 'memory');
    const socket = connect(path);
    try {
      await once(socket, 'connect', { signal: AbortSignal.timeout(PATIENCE_MS) });
      const answers = linesOf(socket);
      await command(socket, answers, 'qmp_capabilities', {});
      await command(socket, answers, 'dump-guest-memory', {
        paging: false,
        protocol: `file:${file}`,
      });
    } finally {
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
  const late = setTimeout(() => socket.destroy(), PATIENCE_MS);
  try {
    // Between them there are events.
    for (let next = await answers.next(); !next.done; next = await answers.next()) {
      const said = answerOf(next.value);
      if (said.error !== undefined)
        throw new Fault('no-qmp', `QEMU refuses ${execute}: ${said.error}`);
      if (said.done) return;
    }
  } finally {
    clearTimeout(late);
  }
  throw new Fault('no-qmp', `QEMU's monitor closed before ${execute} was done`, {
    hint: 'the monitor serves one client at a time: give it a socket of its own',
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
