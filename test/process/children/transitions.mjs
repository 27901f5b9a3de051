// argv: library, protocol, writer. Every ordered pair of targets of both keys: after each update
// every form of site does what the target does, and its bytes are one of the forms that it may
// have.
import { openNative } from '#machine/linux/native';
import { openWith } from '#app/open';
import { recognise } from '#x86/forms';

const [path, protocol, writer] = process.argv.slice(2);
const native = openNative();
const f = native.library(path);
const app = openWith(native, path, { protocol, writer });
const FORMS = ['call', 'tail', 'cold', 'init', 'jcc', 'addr32', 'got', 'gottail'];
const value = FORMS.map((form) => f(`int value_${form}(int)`));
const event = FORMS.map((form) => f(`void event_${form}(int)`));
const taken = f('long take_events()');
const means = {
  one: (a) => a + 1,
  two: (a) => a + 2,
  ret0: () => 0,
  add: (a) => a,
  sub: (a) => -a,
  null: () => 0,
};
const out = { wrong: [], pairs: 0, inline: new Set(), forms: {}, drift: 0, kinds: {} };

function look(key, target) {
  FORMS.forEach((form, i) => {
    for (const a of [5, -3]) {
      let got;
      if (key === 'value') got = value[i](a);
      else {
        event[i](a);
        got = Number(taken());
      }
      if (got !== means[target](a)) out.wrong.push(`${key} ${form} ${target}: ${got}`);
    }
    // The conditional site falls through for 0, whatever the key is.
    if (form === 'jcc' && key === 'value' && value[i](0) !== -7)
      out.wrong.push('jcc falls through');
  });
  for (const site of app.sites(key)) {
    if (site.kind === 'trampoline') continue;
    const bytes = Uint8Array.from(Buffer.from(site.bytes.replaceAll(' ', ''), 'hex'));
    const form = recognise(bytes, Number(site.address))?.form.name ?? site.bytes;
    (out.forms[
      `${site.kind}${bytes.length} ${target === 'null' || target === 'ret0' ? target : 'function'}`
    ] ??= new Set()).add(form);
  }
}

for (const [key, targets] of [
  ['value', ['one', 'two', 'ret0']],
  ['event', ['add', 'sub', null]],
]) {
  out.kinds[key] = app
    .sites(key)
    .filter((s) => s.kind !== 'trampoline')
    .map((s) => s.kind)
    .sort();
  for (const from of targets) {
    for (const to of targets) {
      for (const target of [from, to]) {
        const update = app.update({ [key]: target });
        if (app.keys[key].target !== target)
          out.wrong.push(`${key} says ${app.keys[key].target}, not ${target}`);
        if (update.changes.length > 0) out.inline.add(update.inline);
        look(key, String(target));
        out.drift += app.verify().length;
      }
      out.pairs++;
    }
  }
}
app.close();
look('value', 'one');
look('event', 'add');
console.log(JSON.stringify(out, (_, v) => (v instanceof Set ? [...v].sort() : v)));
