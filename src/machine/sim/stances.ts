// What a CPU is beside the image of its core: its view of the text, what it has been asked for, what
// of an instruction it has fetched, and the windows of its passes.

import { WordTable } from './intern.js';

export interface Stance {
  /** Of the text (text.ts). */
  readonly view: number;
  /** One of REQUEST (cpus.ts). */
  readonly request: number;
  /** Bytes fetched so far by a fetch that takes several events; 0 for none. */
  readonly partial: number;
  /** By level of nesting, what the pass there may run (window.ts). */
  readonly windows: readonly number[];
}

/** Words of a stance; the windows follow. */
const WORD = { view: 0, request: 1, partial: 2, windows: 3 } as const;

export class Stances {
  readonly #table = new WordTable();
  readonly #words = new Uint32Array(32);
  readonly #stances: Stance[] = [];

  intern({ view, request, partial, windows }: Stance): number {
    const words = this.#words;
    words[WORD.view] = view;
    words[WORD.request] = request;
    words[WORD.partial] = partial;
    // Windows of passes that are over are 0, and at the end they are left out.
    const live = 1 + windows.findLastIndex((window) => window !== 0);
    for (let level = 0; level < live; level++) words[WORD.windows + level] = windows[level]!;
    const id = this.#table.intern(words, WORD.windows + live);
    if (id === this.#stances.length)
      this.#stances.push({ view, request, partial, windows: windows.slice(0, live) });
    return id;
  }

  get(stance: number): Stance {
    return this.#stances[stance]!;
  }

  /** With another view, request and fetch under way, which hardly ever are others. */
  moved(stance: number, view: number, request: number, partial: number): number {
    const now = this.get(stance);
    if (now.view === view && now.request === request && now.partial === partial) return stance;
    return this.intern({ view, request, partial, windows: now.windows });
  }
}
