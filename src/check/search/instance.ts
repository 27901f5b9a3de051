// The engine as WebAssembly: what it exports, what it asks, and how an instance comes to be. One
// build is for a single thread. The other has its memory shared between threads that search
// together, each of which has an instance of its own.

import { engineBytes, type Build } from './wasm.js';

/** What engine/index.ts exports, and behind that what engine/shared.ts adds. */
export interface Exports {
  /** Where the engine takes and leaves states. */
  readonly next: Cell;
  readonly transitions: Cell;
  readonly overs: Cell;
  readonly ends: Cell;
  readonly idle: Cell;
  take(bytes: number): number;
  start(cpus: number, sorted: boolean, partial: boolean, local: boolean, hosted: boolean): void;
  advance(most: number, limit: number): number;
  halt(): void;
  found(): number;
  bytes(): number;
  read(id: number, into: number): void;
  parentOf(id: number): number;
  find(): number;
  graph(): void;
  readonly firsts: Cell;
  readonly targets: Cell;
  readonly kinds: Cell;
  readonly ended: Cell;
}
export interface SharedExports extends Exports {
  hire(hands: number): void;
  areReady(): number;
  begin(room: number): void;
  advanceTogether(most: number, limit: number, least: number): number;
  dismiss(): void;
  help(hand: number): void;
  fail(hand: number): void;
}
interface Cell {
  readonly value: number;
}
/** What engine/host.ts declares. */
export interface Host {
  movesOf(cpu: number, environment: number): number;
  patcherMovesOf(patcher: number, environment: number): number;
  after(broadcast: number, cpu: number): number;
  bitsOf(cpu: number): number;
  patcherBitsOf(patcher: number): number;
  broken(state: number, move: number): void;
  lost(): void;
  exhausted(): void;
}

/** Its buffer is another one once it has grown. */
export interface Memory {
  readonly buffer: ArrayBufferLike;
}
/** Who moves the engine on. */
export interface Driver {
  readonly engine: Exports;
  readonly memory: Memory;
  /** Expands some states. @returns the first that is left */
  advance(most: number, limit: number): number;
  close(): void;
}

/** Node's types do not know WebAssembly. */
interface WebAssemblyObject {
  readonly Module: new (bytes: Uint8Array<ArrayBuffer>) => object;
  readonly Memory: new (pages: { initial: number; maximum: number; shared: true }) => Memory;
  readonly Instance: new (
    module: object,
    imports: { readonly host: Host; readonly env?: { readonly memory: Memory } },
  ) => { readonly exports: SharedExports & { readonly memory: Memory } };
}

/** A string of no type of its own: the page's types know WebAssembly, and not our exports. */
const WEB_ASSEMBLY: string = 'WebAssembly';
const webAssembly = (): WebAssemblyObject => Reflect.get(globalThis, WEB_ASSEMBLY);

/** There is none in node --jitless. */
export const hasWebAssembly = (): boolean => Reflect.has(globalThis, WEB_ASSEMBLY);

/** Compiled once: a matrix makes a thousand instances. */
const compiled = new Map<Build, object>();
function moduleOf(build: Build): object {
  const { Module } = webAssembly();
  const module = compiled.get(build) ?? new Module(engineBytes(build));
  compiled.set(build, module);
  return module;
}

/** For one thread. */
export function alone(host: Host): Driver {
  const { Instance } = webAssembly();
  const { exports: engine } = new Instance(moduleOf('engine'), { host });
  const advance = (most: number, limit: number): number => engine.advance(most, limit);
  return { engine, memory: engine.memory, advance, close: () => undefined };
}

/** What threads need to make instances that work together. */
export interface Shared {
  readonly module: object;
  readonly memory: Memory;
  readonly engine: SharedExports;
}
/** Pages of 64 KB: as scripts/setup.mjs compiles, and all that an address can reach. */
const PAGES = { initial: 64, maximum: 1 << 16, shared: true } as const;

export function shared(host: Host): Shared {
  const { Memory } = webAssembly();
  const module = moduleOf('engine-shared');
  const memory = new Memory(PAGES);
  return { module, memory, engine: joined(module, host, memory) };
}
/** An instance beside others in the same memory. */
export function joined(module: object, host: Host, memory: Memory): SharedExports {
  const { Instance } = webAssembly();
  return new Instance(module, { host, env: { memory } }).exports;
}
