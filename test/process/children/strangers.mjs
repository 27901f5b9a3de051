// argv: what, library. What a process may hold that is not ours to understand.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import threads from 'node:worker_threads';
import { Runtime } from '#machine/process/runtime';
import { openNative } from '#machine/linux/native';
import { open } from '#index';

const [what, library] = process.argv.slice(2);
const told = (body) => {
  try {
    return { code: null, value: body() };
  } catch (error) {
    return { code: error.code, message: error.message, exit: error.exit };
  }
};

const SCENES = {
  'a runtime of another version'() {
    new Runtime(openNative()).setWord('version', 99n);
    return told(() => open(library));
  },
  'a thread with a shadow stack'() {
    // No machine at hand has one: the kernel would say so in the thread's status.
    const [openFile, read] = [fs.openSync, fs.readSync];
    const statuses = new Set();
    fs.openSync = (path, ...more) => {
      const file = openFile(path, ...more);
      if (/^\/proc\/self\/task\/\d+\/status$/.test(path)) statuses.add(file);
      else statuses.delete(file);
      return file;
    };
    fs.readSync = (file, buffer, ...more) => {
      const length = read(file, buffer, ...more);
      return statuses.has(file)
        ? length + buffer.write('x86_Thread_features:\tshstk \n', length)
        : length;
    };
    syncBuiltinESMExports();
    const refused = told(() => open(library));
    // The other protocol plants no trap.
    const app = open(library, { protocol: 'store', writer: 'alias' });
    app.update({ blend: 'blend_avx2' });
    return { ...refused, stored: app.keys.blend.target, drift: app.verify().length };
  },
  'a thread that never starts'() {
    threads.Worker = class {
      unref() {}
      async terminate() {}
    };
    syncBuiltinESMExports();
    return told(() => open(library));
  },
};
console.log(JSON.stringify(SCENES[what]()));
