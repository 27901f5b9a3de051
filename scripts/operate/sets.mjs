// Sets a key of a process again and again, attached anew each 20 times, until it is killed.
import { attach } from '../../dist/index.js';

const pid = Number(process.argv[2]);
const names = ['route_loop', 'route_formula', 'route_table'];
for (let i = 0; ; i++) {
  const app = attach(pid);
  for (let k = 0; k < 20; k++) app.update({ route: names[(i + k) % names.length] });
  app.detach();
  if (i === 0) console.log('it sets');
}
