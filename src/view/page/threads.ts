// The page's two workers. Their scripts are packed inside the page, so nothing is fetched.

import { DECODER, FILE_WORKER, SEARCH_WORKER } from 'virtual:packed';
import type { FileFacts } from '../../inspect/facts.js';
import { LIMITS, type News, type Refusal } from '../search.js';
import type { Question } from '../question.js';
import type { Answer, Task } from './file-worker.js';
import type { Order } from './search-worker.js';

const NO_WORKERS: Refusal = {
  code: 'not-supported',
  message: 'this browser gives the page no worker thread, and a search would freeze it',
  hint: 'take another browser, or ask static-call check on the command line; stepping works here',
};

async function unpacked(base64: string): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Uint8Array(await new Response(plain).arrayBuffer());
}

async function start(script: string): Promise<Worker> {
  const url = URL.createObjectURL(new Blob([await unpacked(script)], { type: 'text/javascript' }));
  return new Worker(url);
}

const hasWorkers = (): boolean => 'Worker' in globalThis && 'DecompressionStream' in globalThis;

/** The thread that searches, one question at a time. */
export class Searcher {
  readonly #tell: (news: News) => void;
  #worker: Worker | null = null;
  #asked = 0;

  constructor(tell: (news: News) => void) {
    this.#tell = tell;
  }

  /** A question that is still open is dropped with its thread. */
  async ask(question: Question): Promise<void> {
    if (!hasWorkers()) {
      this.#tell({ news: 'refused', refusal: NO_WORKERS });
      return;
    }
    this.drop();
    const mine = ++this.#asked;
    try {
      const worker = await start(SEARCH_WORKER);
      if (mine !== this.#asked) {
        worker.terminate();
        return;
      }
      this.#worker = worker;
      worker.addEventListener('message', ({ data }: MessageEvent<News>) => this.#tell(data));
      worker.addEventListener('error', ({ message }) =>
        this.#tell({ news: 'refused', refusal: crashed(message) }),
      );
      worker.postMessage({ order: 'search', question, limits: LIMITS } satisfies Order);
    } catch (error) {
      this.#tell({ news: 'refused', refusal: { ...NO_WORKERS, message: String(error) } });
    }
  }

  /** What is known by then is told, and the search ends. */
  stop(): void {
    this.#worker?.postMessage({ order: 'stop' } satisfies Order);
  }

  drop(): void {
    this.#worker?.terminate();
    this.#worker = null;
    this.#asked++;
  }
}

const crashed = (message: string): Refusal => ({
  code: 'no-memory',
  message: `the thread that searched has ended (${message})`,
  hint: 'take fewer events, passes or CPUs',
});

/** A reader that takes longer is given up: no file of ours does. */
const READ_MS = 120_000;

/** Reads one file in a thread of its own, which ends with it. */
export async function readFile(file: File): Promise<readonly FileFacts[] | Refusal> {
  if (!hasWorkers()) return NO_WORKERS;
  const worker = await start(FILE_WORKER);
  const [bytes, decoder] = [new Uint8Array(await file.arrayBuffer()), await unpacked(DECODER)];
  try {
    return await new Promise((resolve) => {
      const late: Refusal = {
        code: 'bad-elf',
        message: `${file.name} took more than ${READ_MS / 1000} s to read`,
        hint: 'it is damaged, or made to be slow',
      };
      const timer = setTimeout(() => resolve(late), READ_MS);
      const end = (said: readonly FileFacts[] | Refusal): void => {
        clearTimeout(timer);
        resolve(said);
      };
      worker.addEventListener('error', ({ message }) =>
        end({ ...crashed(message), hint: 'ask static-call inspect on the command line' }),
      );
      worker.addEventListener('message', ({ data }: MessageEvent<Answer>) =>
        end('files' in data ? data.files : data.refusal),
      );
      worker.postMessage({ name: file.name, bytes, decoder } satisfies Task);
    });
  } finally {
    worker.terminate();
  }
}
