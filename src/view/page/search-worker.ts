// The thread that searches. It hears of a stop when it breathes.

import { search, type Limits, type News } from '../search.js';
import type { Question } from '../question.js';
import { scopeOf } from './worker.js';

export type Order =
  | { readonly order: 'search'; readonly question: Question; readonly limits: Limits }
  | { readonly order: 'stop' };

const scope = scopeOf<Order, News>();
const channel = new MessageChannel();
let stopped = false;

/** A turn of the event loop. A timer would take four milliseconds. */
const breathe = (): Promise<void> =>
  new Promise((resolve) => {
    channel.port1.onmessage = () => resolve();
    channel.port2.postMessage(null);
  });

scope.onmessage = ({ data }) => {
  if (data.order === 'stop') {
    stopped = true;
    return;
  }
  stopped = false;
  void search(data.question, data.limits, {
    tell: (news) => scope.postMessage(news),
    breathe,
    isStopped: () => stopped,
  });
};
