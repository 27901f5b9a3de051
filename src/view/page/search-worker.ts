// The thread that searches. It hears of a stop when it breathes.

import { search, type Limits } from '../search.js';
import type { Question } from '../question.js';

export type Order =
  | { readonly order: 'search'; readonly question: Question; readonly limits: Limits }
  | { readonly order: 'stop' };

const channel = new MessageChannel();
channel.port1.start();
let stopped = false;

/** A turn of the event loop. A timer would take four milliseconds. */
const breathe = (): Promise<void> =>
  new Promise((resolve) => {
    channel.port1.addEventListener('message', () => resolve(), { once: true });
    channel.port2.postMessage(null);
  });

addEventListener('message', ({ data }: MessageEvent<Order>) => {
  if (data.order === 'stop') {
    stopped = true;
    return;
  }
  stopped = false;
  void search(data.question, data.limits, {
    tell: (news) => postMessage(news),
    breathe,
    isStopped: () => stopped,
  });
});
