// An update that is asked for again where the kernel refuses the page that the mark of the
// descriptor stands in (process/procmem.ts). argv: JSON {library, refused}: the call that is
// refused, or none. Prints the pages that are left of the opening, how many calls into machine code
// each of two updates takes and what came of it, and the same of a program that is opened when
// nothing is refused any more.
import { openWith } from '#app/open';
import { openNative } from '#machine/linux/native';
import { intercept } from '../inject.mjs';

const { library, refused } = JSON.parse(process.argv[2]);
const NO_MEMORY = -12;
const plain = openNative();
const isForPage = () => new Error().stack.includes('mapAlone');
const pages = new Set();
let [refusing, calls] = [true, 0];
const counting = {
  ...plain,
  call(name, ...args) {
    const result = plain.call(name, ...args);
    if (name === 'mmap' && isForPage()) pages.add(result);
    if (name === 'munmap') pages.delete(args[0]);
    return result;
  },
  procedure(at) {
    const call = plain.procedure(at);
    return (a) => {
      calls++;
      return call(a);
    };
  },
};
const native = intercept(counting, ({ name }) =>
  refusing && name === refused && isForPage() ? NO_MEMORY : undefined,
);
const run = plain.library(library)('int64 updates_step(int64)');

function lived() {
  const app = openWith(native, library, { writer: 'procmem' });
  const update = (step) => {
    calls = 0;
    app.update({ step });
    return [calls, app.keys.step.target, Number(run(10)), app.verify().length];
  };
  for (let k = 0; k < 2; k++) for (const step of ['step_two', 'step_one']) update(step);
  const updates = [...update('step_two'), ...update('step_one')];
  app.close();
  return { updates, runs: Number(run(10)), pages: pages.size };
}

const first = lived();
refusing = false;
console.log(JSON.stringify({ first, then: lived() }));
