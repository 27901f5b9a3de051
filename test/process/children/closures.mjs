// JavaScript functions as targets of the hooks of programs/closures.c.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import koffi from 'koffi';
import { open, target, unchecked } from '#index';

const [, , library, only] = process.argv;
const c = koffi.load(library);
const call = c.func('int call(int)');
const tell = c.func('void tell(const char *)');
const start = c.func('int start()');
const fault = (body) => {
  try {
    body();
    return null;
  } catch (error) {
    return error.code ?? `${error.name}: ${error.message}`;
  }
};
const INT = 'int (int)';

const parts = {
  /** Called, named, thrown from, undone. */
  own() {
    const app = open(library);
    const seen = [];
    const spy = (a) => {
      seen.push(a);
      if (a > 9) throw new RangeError('too large');
      return 100 * a;
    };
    const names = [];
    const update = app.update({
      hook: target(spy, INT),
      note: target((name) => void names.push(name), 'void (const char *)'),
    });
    tell('é');
    const now = [call(2), app.keys.hook.target, app.verify().length];
    const thrown = fault(() => call(10));
    update.undo();
    return { now, thrown, seen, names, after: [call(2), app.keys.hook.target] };
  },

  /** The code of a function that was given back runs the next one of its type. */
  again() {
    const app = open(library);
    const first = app.update({ hook: target(() => 1, INT) });
    const at = app.sites('hook').map(({ bytes }) => bytes);
    const whole = [call(0)];
    first.undo();
    const second = app.update({ hook: target(() => 2, INT) });
    whole.push(
      call(0),
      app.sites('hook').every(({ bytes }, i) => bytes === at[i]),
    );
    second.undo();
    // More than koffi has code for.
    for (let i = 0; i < 10_000; i++) {
      const update = app.update({ hook: target(() => i, INT) });
      if (call(0) !== i) throw new Error(`call ${i}`);
      update.undo();
    }
    return whole;
  },

  /** Two at once have code each, and one that was replaced comes back. */
  replaced() {
    const app = open(library);
    const one = app.update({ hook: target(() => 1, INT) });
    const two = app.update({ hook: target(() => 2, INT) });
    const seen = [call(0)];
    one.undo();
    seen.push(call(0));
    two.undo();
    seen.push(call(0));
    one.undo();
    seen.push(call(0), call(1));
    app.close();
    return seen;
  },

  refused() {
    const app = open(library);
    const body = () => 0;
    return [
      fault(() => app.update({ hook: target(body, 'int (strange)') })),
      fault(() => app.update({ hook: { function: body } })),
      fault(() => app.update({ hook: target(body, INT), none: null })),
      fault(() => app.sites('hook', target(body, INT))),
      call(1),
    ];
  },

  /** A thread of another's making waits for the event loop. */
  async other() {
    const app = open(library);
    const caught = once(process, 'uncaughtException');
    const update = app.update({
      hook: target((a) => {
        if (a === 7) throw new RangeError('seven');
        return 1000 + a;
      }, INT),
    });
    const asked = (a) =>
      new Promise((resolve, reject) => {
        call.async(a, (error, value) => (error ? reject(error) : resolve(value)));
      });
    const answers = [await asked(5)];
    const [, [error]] = await Promise.all([asked(7), caught]);
    answers.push(error.message);
    update.undo();
    answers.push(await asked(5));
    return answers;
  },

  /** A worker cannot lend a function: it may be terminated. */
  async worker() {
    const worker = new Worker(
      `const { parentPort, workerData } = require('node:worker_threads');
       import(workerData.index).then(({ open, target }) => {
         const app = open(workerData.library);
         try { app.update({ hook: target(() => 0, 'int (int)') }); parentPort.postMessage('taken'); }
         catch (error) { parentPort.postMessage(error.code); }
         app.close();
       });`,
      { eval: true, workerData: { library, index: import.meta.resolve('#index') } },
    );
    const [said] = await once(worker, 'message');
    await worker.terminate();
    return said;
  },

  /** The process ends while a thread calls the function all the time. */
  async exit() {
    const app = open(library);
    let calls = 0;
    app.update({ hook: target(() => ++calls, INT) });
    start();
    while (calls < 100) await new Promise((resolve) => setImmediate(resolve));
    console.log(JSON.stringify('left'));
    process.exit(0);
  },

  /** Its address by another door, for the type is on the caller there too. */
  unchecked() {
    const app = open(library);
    const update = app.update({ hook: target(() => 4, INT) });
    return [fault(() => app.update({ hook: unchecked('no_such') })), call(0), update.changes[0].to];
  },
};

console.log(JSON.stringify(await parts[only]()));
process.exit(0);
