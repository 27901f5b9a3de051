// Run by an executable that has static calls itself. argv: JSON {options, at}: addresses of its
// functions. Prints what they return.
import { open, unchecked } from '#index';
import { openNative } from '#machine/linux/native';

const { options, pass, tail, two } = JSON.parse(process.argv[2]);
const native = openNative();
const look = () => [native.invoke(pass, 10), native.invoke(tail, 10)];
const before = look();
const app = open(process.execPath, options);
const sites = app
  .sites()
  .map((s) => `${s.kind} ${s.where.replace(/\+.*/, '')}${s.inline ? ' inline' : ''}`);
app.update({ own: 'own_two' });
const after = look();
app.update({ own: 'ret0' });
const zero = look();
app.update({ own: unchecked(BigInt(two)) });
const again = [app.keys.own.target, ...look()];
const drift = app.verify().length;
app.close();
console.log(JSON.stringify({ before, sites, after, zero, again, drift, closed: look() }));
