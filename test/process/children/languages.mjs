// programs/cxx.cpp, programs/jcc.c, programs/rust.c and programs/odd.c, retargeted. argv: JSON
// {library, what, options}.
import { open } from '#index';
import { openWith } from '#app/open';
import { openNative } from '#machine/linux/native';
import { holdAtSync } from '../inject.mjs';
import { koffi } from './soaked.mjs';

const { library, what, options = {} } = JSON.parse(process.argv[2]);
const lib = koffi.load(library);
const f = (declaration) => lib.func(declaration);

const WHAT = {
  cxx() {
    const [start, stop, passes, thrown, wrong, early] = [
      'void cxx_start()',
      'void cxx_stop()',
      'long cxx_passes()',
      'long cxx_thrown()',
      'long cxx_wrong()',
      'long cxx_early()',
    ].map(f);
    const app = open(library, options);
    const works = ['work_one', 'work_two', 'work_throw'];
    start();
    let updates = 0;
    for (
      const end = performance.now() + 1000;
      performance.now() < end || Number(thrown()) === 0 || app.traps === 0;
      updates++
    )
      app.update({ work: works[updates % 3], hook: updates % 2 ? 'hook_add' : null });
    stop();
    const answer = {
      updates,
      traps: app.traps,
      passes: Number(passes()),
      thrown: Number(thrown()),
      wrong: Number(wrong()),
      early: Number(early()),
      drift: app.verify().length,
      sites: app.keys.work.sites + app.keys.hook.sites,
    };
    app.close();
    return answer;
  },
  targets() {
    const [odd, other] = [f('long odd_call(long)'), f('int other_call(int)')];
    const app = open(library);
    const before = [Number(odd(5)), other(-5)];
    app.update({ odd: 'chosen', other: 'abs' });
    const after = [
      Number(odd(5)),
      other(-5),
      app.keys.odd.target,
      app.keys.other.target,
      app.verify().length,
    ];
    app.close();
    return { before, after, closed: [Number(odd(5)), other(-5)] };
  },
  jcc() {
    const pass = f('long jcc_pass(long)');
    const look = () => [Number(pass(-5)), Number(pass(5))];
    const app = open(library, options);
    const answer = {
      kinds: app
        .sites()
        .map((s) => s.kind)
        .filter((kind) => kind !== 'trampoline'),
      before: look(),
    };
    app.update({ act: 'act_two' });
    answer.after = look();
    app.update({ act: 'ret0' });
    answer.zero = look();
    answer.drift = app.verify().length;
    app.close();
    return { ...answer, closed: look() };
  },
  rust() {
    const [c, rust] = [f('long c_pass(long)'), f('long through_rust(long)')];
    const app = open(library);
    const look = () => [Number(c(5)), Number(rust(5))];
    const answer = {
      sites: app.keys.work.sites,
      inline: app.sites('work').filter((s) => s.inline).length,
      before: look(),
    };
    app.update({ work: 'rust_work' });
    Object.assign(answer, { after: look(), drift: app.verify().length });
    app.close();
    return { ...answer, closed: look() };
  },
  redzone() {
    const kept = f('long leaf_kept()');
    let during = null;
    const hold = holdAtSync(
      openNative(),
      1,
      () => (during = { kept: Number(kept()), traps: app.traps }),
    );
    const app = openWith(hold.native, library, { protocol: 'int3' });
    const called = Number(kept());
    hold.arm();
    app.update({ leaf: null });
    return { called, during, empty: Number(kept()) };
  },
};
console.log(JSON.stringify(WHAT[what]()));
