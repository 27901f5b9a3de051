// The recipes of docs/adopting.md, performed on programs/recipes.c.
import koffi from 'koffi';
import { open, target } from '#index';

const [, , library] = process.argv;
const c = koffi.load(library);
const [checksum, step, traced, choose] = [
  'int checksum(const uint8_t *, int)',
  'int step(int)',
  'int traced()',
  'void choose()',
].map((declaration) => c.func(declaration));
const bytes = Uint8Array.of(1, 2, 3);
const sum = () => checksum(bytes, bytes.length);

const answer = { table: [sum()] };
choose();
answer.table.push(sum());
{
  const app = open(library);
  answer.opened = [app.keys.sum.target, app.keys.sum.targets];
  app.update({ sum: 'sum_c' });
  answer.opened.push(sum());

  const calls = [];
  const spy = (_, count) => {
    calls.push(count);
    if (calls.length > 1) throw new RangeError('too long');
    return 7 * count;
  };
  const update = app.update({ sum: target(spy, 'int (const uint8_t *, int)') });
  answer.spied = [sum(), app.verify().length];
  try {
    sum();
  } catch (error) {
    answer.thrown = `${error.name}: ${error.message}`;
  }
  update.undo();
  answer.spied.push(sum(), calls);

  const switched = () => [step(5), traced()];
  answer.switched = [switched()];
  app.update({ tracing: true });
  answer.switched.push(switched());
  app.update({ tracing: false });
  answer.switched.push(switched());
  answer.bytes = app.sites('tracing').map(({ kind, bytes: now }) => [kind, now.slice(0, 2)]);
  app.close();
}
answer.table.push(sum());
console.log(JSON.stringify(answer));
