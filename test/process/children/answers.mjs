// What a user is answered, by name. argv: JSON {library, what}.
import { readFileSync, writeSync } from 'node:fs';
import { inspect } from 'node:util';
import { isFault, open, unchecked } from '#index';
import { openWith } from '#app/open';
import { MAP, openNative, PROT } from '#machine/linux/native';
import { readMaps } from '#machine/linux/maps';
import { intercept } from '../inject.mjs';
import { faultOf } from './fault.mjs';
import { koffi } from './soaked.mjs';

const { library, what } = JSON.parse(process.argv[2]);
const refusal = (body) => faultOf(body, ({ code, message, hint }) => ({ code, message, hint }));
const storing = { protocol: 'store', writer: 'alias' };
const both = (path = library) => koffi.load(path).func('long both(long)');

const ANSWERS = {
  'two names of one function'() {
    const app = open(library);
    const names = [app.keys.work.target];
    for (const name of ['work_same', 'work_two', 'work_same', 'work_one']) {
      app.update({ work: name });
      names.push(app.keys.work.target);
    }
    return { names, changes: app.journal.map((u) => u.changes.map(({ from, to }) => [from, to])) };
  },
  'which sites take a target'() {
    const app = open(library, storing);
    app.update({ trace: 'trace_on' });
    const site = (target) =>
      app.sites('trace', target).find((s) => s.where.startsWith('traced')).protocols.store;
    const answers = { any: site(), empty: site(null), same: site('trace_on') };
    const refused = refusal(() => app.update({ trace: null }, { require: 'inline' }));
    return {
      ...answers,
      refused: refused?.code,
      unknown: refusal(() => app.sites('trace', 'trace_off'))?.code,
      drift: app.verify().length,
    };
  },
  'what the console shows'() {
    const app = open(library);
    return { shown: inspect(app.keys), json: JSON.parse(JSON.stringify(app.keys.work)) };
  },
  'a target that is undefined'() {
    const app = open(library);
    return refusal(() => app.update({ work: undefined }));
  },
  'a plug-in in a memory file'() {
    const native = openNative();
    const name = new TextEncoder().encode('plug.so\0');
    const fd = native.call('memfd_create', native.addressOf(name), 1);
    writeSync(fd, readFileSync(library));
    const path = `/proc/self/fd/${fd}`;
    const call = both(path);
    const app = open(path);
    app.update({ work: 'work_two' });
    return { called: Number(call(0)), drift: app.verify().length };
  },
  'text that is sealed'() {
    const call = both();
    const text = readMaps().find((m) => m.path === library && m.access === 'r-xp');
    const MSEAL = 462;
    const syscall = koffi.load('libc.so.6').func('long syscall(long, int64, int64, int64)');
    if (Number(syscall(MSEAL, text.start, text.end - text.start, 0)) !== 0)
      return { skipped: 'mseal is not to be had' };
    const refused = refusal(() => open(library, { writer: 'alias' }));
    open(library).update({ work: 'work_two' });
    return { refused, called: Number(call(0)) };
  },
  'text in shared memory'() {
    const call = both();
    const native = openNative();
    const { start, end } = readMaps().find((m) => m.path === library && m.access === 'r-xp');
    const size = end - start;
    const shared = MAP.shared | MAP.anonymous;
    const at = native.call('mmap', 0, size, PROT.read | PROT.write, shared, -1, 0);
    new Uint8Array(native.view(at, size)).set(new Uint8Array(native.view(start, size)));
    native.call('mprotect', at, size, PROT.read | PROT.exec);
    native.call('mremap', at, size, size, 3, start);
    const refused = refusal(() => open(library));
    open(library, { writer: 'alias' }).update({ work: 'work_two' });
    return { refused, called: Number(call(0)) };
  },
  'the same object opened again with writer alias'() {
    const call = both();
    const first = open(library);
    const second = open(library, { writer: 'alias' });
    first.update({ work: 'work_two' });
    const called = Number(call(0));
    second.update({ work: 'work_one' });
    first.update({ work: 'work_two' });
    return { called: [called, Number(call(0))], drift: first.verify().length };
  },
  // A breakpoint that a debugger sets or takes away between two sites must stay as the debugger left it.
  'what is written between two sites'() {
    const native = openNative();
    const written = [];
    const watched = intercept(native, ({ name, args }) => {
      if (name === 'pwrite') written.push([args[3], args[2]]);
    });
    const app = openWith(watched, library, { protocol: 'int3' });
    written.length = 0;
    app.update({ work: 'work_two' });
    const sites = app.sites().map(({ address, bytes }) => [Number(address), bytes.length / 2]);
    const outside = written.filter(
      ([at, size]) => !sites.some(([site, length]) => at >= site && at + size <= site + length),
    );
    return { writes: written.length, outside };
  },
  'a tool that runs code as it was'() {
    const native = openNative();
    const stale = { ...native, invoke: (at, ...rest) => Math.min(1, native.invoke(at, ...rest)) };
    return refusal(() => openWith(stale, library, {}));
  },
  'a name with a NUL'() {
    const app = open(library);
    return refusal(() => app.update({ work: unchecked('work_two\0x') }))?.code;
  },
  'a refused open'() {
    try {
      open(library);
      return null;
    } catch (error) {
      return isFault(error) ? { code: error.code, hint: error.hint } : { raw: String(error) };
    }
  },
};
console.log(JSON.stringify(ANSWERS[what]()));
process.exit(0);
