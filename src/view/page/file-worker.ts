// The thread that reads a file: the inspection of the command line.

import type { FileFacts } from '../../inspect/facts.js';
import { inspectInput } from '../../inspect/inspect.js';
import { refusalOf, type Refusal } from '../search.js';
import { prepare } from './instead/iced.js';

export interface Task {
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly decoder: Uint8Array<ArrayBuffer>;
}
export type Answer = { readonly files: readonly FileFacts[] } | { readonly refusal: Refusal };

addEventListener('message', ({ data: { name, bytes, decoder } }: MessageEvent<Task>) => {
  const answer = async (): Promise<Answer> => {
    prepare(decoder);
    return { files: await inspectInput({ path: name, bytes }) };
  };
  void answer()
    .catch((error: unknown) => ({ refusal: refusalOf(error) }))
    .then((said) => postMessage(said));
});
