// A server of gdb's protocol with one mapped page, in a thread: its client sleeps while it waits.
// `features` is its answer to qSupported; `silent`: it answers nothing; `drip`: it sends so many
// characters at a time, with pauses of milliseconds.

import { createServer } from 'node:net';
import { setTimeout as after } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';

const { page, bytes, features = '', silent = false, drip } = workerData;

function answer(packet) {
  if (packet === '?') return 'T05thread:01;';
  if (packet === 'D') return 'OK';
  if (packet === 'qSupported') return features;
  const [, at, length] = /^m([0-9a-f]+),([0-9a-f]+)$/.exec(packet) ?? [];
  if (at === undefined) return '';
  const from = Number(BigInt.asIntN(64, BigInt(`0x${at}`))) - page;
  const found = bytes.subarray(from, from + Number.parseInt(length, 16));
  return from >= 0 && found.length > 0 ? Buffer.from(found).toString('hex') : 'E14';
}

async function send(socket, text) {
  const size = drip?.characters ?? text.length;
  for (let done = 0; done < text.length; done += size) {
    if (done > 0) await after(drip.pause);
    socket.write(text.slice(done, done + size));
  }
}

const server = createServer((socket) => {
  if (silent) return;
  let text = '';
  // As QEMU does: unasked, because a client stops the machine.
  socket.write('$T02thread:01;#04');
  socket.on('error', () => {});
  socket.on('data', (piece) => {
    text += piece;
    for (;;) {
      const packet = /\$([^#]*)#([0-9a-f]{2})/.exec(text);
      if (!packet) return;
      text = text.slice(packet.index + packet[0].length);
      const said = answer(packet[1]);
      const sum = Buffer.from(said).reduce((total, byte) => (total + byte) % 256, 0);
      void send(socket, `+$${said}#${sum.toString(16).padStart(2, '0')}`);
    }
  });
});
server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));
