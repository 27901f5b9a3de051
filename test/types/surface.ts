// The public surface as a caller sees it. This file is compiled and never run: what must compile
// stands as it is, what must not stands under a line that expects the error, and is itself an error
// where there is none.

import {
  counted,
  Fault,
  isFault,
  open,
  unchecked,
  type App,
  type Counted,
  type Drift,
  type FaultCode,
  type Key,
  type Protocol,
  type SiteReport,
  type Update,
  type UpdateOptions,
} from 'static-call';
import type { Filters } from './filters.keys.js';

type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<A, B>(..._: Equal<A, B> extends true ? [] : ['these types differ']): void {}

const app = open<Filters>('./libfilters.so');
same<typeof app, App<Filters>>();
same<typeof app.keys.blend, Key<'blend_avx2' | 'blend_scalar' | 'ret0'>>();
same<typeof app.keys.trace.target, 'trace_ring' | null>();

// Targets are those of their key.
app.update({ blend: 'blend_avx2', trace: null });
app.update({ trace: 'trace_ring' }, { protocol: 'store', require: 'inline' });
app.update({ blend: unchecked('my_blend'), trace: unchecked(0x401000n) });
// @ts-expect-error no such key
app.update({ blned: 'blend_avx2' });
// @ts-expect-error no such target
app.update({ blend: 'blend_avx' });
// @ts-expect-error a target of the other key
app.update({ blend: 'trace_ring' });
// @ts-expect-error blend returns a value: nothing cannot take its place
app.update({ blend: null });
// @ts-expect-error an address is a bigint
app.update({ blend: unchecked(0x401000) });
// @ts-expect-error a symbol must be asked for as unchecked
app.update({ blend: 0x401000n });
// @ts-expect-error undefined is not null
app.update({ trace: undefined });
// @ts-expect-error no such protocol
app.update({ trace: null }, { protocol: 'naive' });
// @ts-expect-error no such requirement
app.update({ trace: null }, { require: 'trampoline' });

// Options.
open('./libfilters.so', { protocol: 'int3', writer: 'alias' });
open('./libfilters.so', {
  writer: 'procmem',
  protocol: 'store',
  assume: 'procmem-stores-are-atomic',
});
// @ts-expect-error no such writer
open('./libfilters.so', { writer: 'mprotect' });
// @ts-expect-error no such option
open('./libfilters.so', { writers: 'alias' });
// @ts-expect-error the path is needed
open();

// An update is taken back at the end of its block, or by hand.
export function sample(): void {
  using update = app.update({ trace: 'trace_ring' });
  same<typeof update, Update>();
  same<
    typeof update.changes,
    readonly {
      readonly key: string;
      readonly from: string | null | boolean;
      readonly to: string | null | boolean;
    }[]
  >();
  same<
    [typeof update.inline, typeof update.trampoline, typeof update.traps, typeof update.ns],
    [number, number, number, number]
  >();
  update.undo();
  // @ts-expect-error it is told, not set
  update.traps = 0;
}

// What can be looked at, and only that.
same<ReturnType<typeof app.sites>, readonly SiteReport[]>();
same<ReturnType<typeof app.verify>, readonly Drift[]>();
same<typeof app.journal, readonly Update[]>();
app.sites('blend');
// @ts-expect-error no such key
app.sites('blned');
// @ts-expect-error targets change by update alone
app.keys.blend.target = 'blend_avx2';
// @ts-expect-error the journal is read
app.journal.pop();
// @ts-expect-error nothing to wait for: every call is synchronous
app.update({ trace: null }).then(() => {});
using closed: Disposable = app;
void closed;

// Users of one target are counted.
same<ReturnType<typeof counted>, Counted>();
export function traced(): void {
  using mine = counted(app, 'trace', 'trace_ring').acquire();
  void mine;
}
// @ts-expect-error a target of the other key
counted(app, 'blend', 'trace_ring');
// @ts-expect-error no such key
counted(app, 'blned', 'blend_avx2');

// Without a description of the keys, any name goes and is checked when it runs.
const loose = open('./libfilters.so');
loose.update({ anything: 'whatever', empty: null });
// @ts-expect-error still no numbers
loose.update({ anything: 1 });

// Faults.
export function explain(error: unknown): string {
  if (!isFault(error)) throw error;
  same<typeof error, Fault>();
  const code: FaultCode = error.code;
  // @ts-expect-error no such code
  if (error.code === 'no-such-code') return '';
  return `${code}: ${error.message}${error.at ?? ''} ${error.hint}`;
}

// A protocol of one's own is data.
export function named(protocol: Protocol): UpdateOptions {
  // @ts-expect-error it is shared
  protocol.name = 'mine';
  return { protocol };
}
