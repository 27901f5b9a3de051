// What the engine asks of TypeScript (src/check/search/engine.ts), each thing once: the moves of a
// part of the machine that it meets for the first time. Each of the first two leaves a row in this
// memory and returns where.

/** The moves of a CPU in an environment. */
export declare function movesOf(cpu: u32, environment: u32): usize;
/** The moves of a patcher in an environment. */
export declare function patcherMovesOf(patcher: u32, environment: u32): usize;
/** A CPU after a broadcast. */
export declare function after(broadcast: u32, cpu: u32): u32;
/** Bits of a CPU (tables.ts). */
export declare function bitsOf(cpu: u32): u32;
/** Bits of a patcher (tables.ts). */
export declare function patcherBitsOf(patcher: u32): u32;
/** A move that breaks a promise or after which the machine cannot go on, met in a state. */
export declare function broken(state: u32, move: u32): void;
/** A thread that helped has ended by itself. Does not return. */
export declare function lost(): void;
/** There is no more memory. Does not return. */
export declare function exhausted(): void;
