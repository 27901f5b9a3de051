// The thread of gdb.ts: one packet at a time to the server and its answer back ("Remote Protocol" in
// gdb's manual). A packet is `$text#sum`; each side acknowledges with `+`.

import { connect } from 'node:net';
import { MessagePort, workerData } from 'node:worker_threads';

export interface GdbAnswer {
  readonly text?: string;
  readonly error?: string;
}

interface Start {
  readonly address: string;
  readonly port: MessagePort;
  readonly answered: Int32Array;
}
const { address, port, answered }: Start = workerData;
const MOST = 1 << 20;

const [, host, number] = /^(.*):(\d+)$/.exec(address) ?? [];
const socket =
  number === undefined
    ? connect(address)
    : connect({ host: host || 'localhost', port: Number(number) });

/** Why the machine stopped: the answer to `?`, which QEMU also sends unasked when a client comes. */
const STOPPED = /^[TS][0-9a-f]{2}/;

let text = '';
let asked = '';
let failed: string | undefined;
let waiting = false;

function answer(said: GdbAnswer): void {
  if (!waiting) return;
  waiting = false;
  port.postMessage(said);
  Atomics.store(answered, 0, 1);
  Atomics.notify(answered, 0);
}

function fail(error: string): void {
  failed ??= error;
  answer({ error: failed });
}

port.on('message', (packet: string) => {
  waiting = true;
  asked = packet;
  if (failed !== undefined) return answer({ error: failed });
  const sum = Buffer.from(packet).reduce((total, byte) => (total + byte) % 256, 0);
  socket.write(`$${packet}#${sum.toString(16).padStart(2, '0')}`);
});

socket.on('data', (piece) => {
  text += piece.toString('latin1');
  if (text.length > MOST) fail('it sends packets without end');
  for (;;) {
    const packet = /\$([^#]*)#[0-9a-f]{2}/.exec(text);
    if (!packet) return;
    text = text.slice(packet.index + packet[0].length);
    socket.write('+');
    const [, said = ''] = packet;
    if (asked === '?' || !STOPPED.test(said)) answer({ text: said });
  }
});
socket.on('error', ({ message }) => fail(message));
socket.on('close', () => fail('it closed the connection'));
