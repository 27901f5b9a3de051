// The thread of gdb.ts: a request to packets, one at a time to the server and its answer back
// ("Remote Protocol" in gdb's manual). A packet is `$text#sum`; each side acknowledges with `+`.

import { connect } from 'node:net';
import { MessagePort, workerData } from 'node:worker_threads';
import { hex } from '../../base/addr.js';

export type GdbRequest = 'stop' | 'go' | { readonly at: number; readonly length: number };
export interface GdbAnswer {
  /** Null where nothing is mapped, and for a request that reads nothing. */
  readonly bytes?: Uint8Array | null;
  readonly error?: string;
}

interface Start {
  readonly address: string;
  readonly port: MessagePort;
  /** Whether the answer was posted, and how often anything was heard. */
  readonly state: Int32Array;
}
const { address, port, state }: Start = workerData;
const MOST = 1 << 20;
/** What gdb assumes of a server that does not state its PacketSize. */
const PACKET = 400;
/** Larger ones are no gain. */
const MOST_PIECE = 4096;

const [, host, number] = /^(.*):(\d+)$/.exec(address) ?? [];
const socket =
  number === undefined
    ? connect(address)
    : connect({ host: host || 'localhost', port: Number(number) });

/** Why the machine stopped: the answer to `?`, which QEMU also sends unasked when a client comes. */
const STOPPED = /^[TS][0-9a-f]{2}/;

let text = '';
let failed: Error | undefined;
let waiting: { packet: string; resolve(said: string): void; reject(why: Error): void } | undefined;

function fail(why: string): void {
  failed ??= new Error(why);
  waiting?.reject(failed);
  waiting = undefined;
}

function ask(packet: string): Promise<string> {
  return new Promise((resolve, reject) => {
    if (failed) return reject(failed);
    waiting = { packet, resolve, reject };
    const sum = Buffer.from(packet).reduce((total, byte) => (total + byte) % 256, 0);
    socket.write(`$${packet}#${sum.toString(16).padStart(2, '0')}`);
  });
}

socket.on('data', (piece) => {
  Atomics.add(state, 1, 1);
  text += piece.toString('latin1');
  if (text.length > MOST) fail('it sends packets without end');
  for (;;) {
    const packet = /\$([^#]*)#[0-9a-f]{2}/.exec(text);
    if (!packet) return;
    text = text.slice(packet.index + packet[0].length);
    socket.write('+');
    const [, said = ''] = packet;
    if (!waiting || (waiting.packet !== '?' && STOPPED.test(said))) continue;
    const { resolve } = waiting;
    waiting = undefined;
    resolve(said);
  }
});
socket.on('error', ({ message }) => fail(message));
socket.on('close', () => fail('it closed the connection'));

/** Bytes that one packet asks for: each is two digits of the answer, as gdb itself counts them. */
let most = PACKET / 2;

/** A server stops the machine when it is asked why it stopped. */
async function stop(): Promise<null> {
  await ask('?');
  const [, size = ''] = /PacketSize=([0-9a-f]+)/i.exec(await ask('qSupported')) ?? [];
  // A power of two, so that a page is whole packets.
  const stated = Number.parseInt(size, 16) || PACKET;
  most = 2 ** Math.floor(Math.log2(Math.min(Math.max(stated / 2, 1), MOST_PIECE)));
  return null;
}

async function read(at: number, length: number): Promise<Uint8Array | null> {
  const whole = new Uint8Array(length);
  for (let done = 0; done < length; done += most) {
    const size = Math.min(most, length - done);
    const said = await ask(`m${hex(at + done).slice(2)},${size.toString(16)}`);
    if (!/^(?:[0-9a-f]{2})+$/.test(said) || said.length !== 2 * size) return null;
    whole.set(Buffer.from(said, 'hex'), done);
  }
  return whole;
}

async function served(request: GdbRequest): Promise<Uint8Array | null> {
  if (request === 'stop') return await stop();
  if (request !== 'go') return await read(request.at, request.length);
  await ask('D');
  return null;
}

port.on('message', async (request: GdbRequest) => {
  const answer = await served(request).then(
    (bytes): GdbAnswer => ({ bytes }),
    ({ message }: Error): GdbAnswer => ({ error: message }),
  );
  port.postMessage(answer);
  Atomics.store(state, 0, 1);
  Atomics.notify(state, 0);
});
