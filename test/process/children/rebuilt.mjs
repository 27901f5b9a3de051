// Opens libraries whose files were replaced after they were loaded. argv: JSON {one, two}, two
// builds whose headers are the same and whose code is not.
import { copyFileSync, linkSync, mkdirSync, renameSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import koffi from 'koffi';
import { isFault, open } from '#index';

const { one, two, joined } = JSON.parse(process.argv[2]);
const place = (name) => join(dirname(one), name);
const out = {};
/** What is held is not unloaded when koffi's handle is collected. */
const held = [];
/** What opening says, and whether calls then go where they are sent. */
const opening = (path) => {
  try {
    const app = open(path);
    const call = koffi.load(path).func('int use(int)');
    app.update({ work: 'other' });
    const result = call(1);
    app.close();
    return result;
  } catch (error) {
    if (!isFault(error)) throw error;
    return `${error.code}: ${error.message} (${error.hint})`;
  }
};
/** A file is installed as package managers do it: written beside, renamed over. */
const install = (from, path) => {
  copyFileSync(from, `${path}.new`);
  renameSync(`${path}.new`, path);
};
const loaded = (name) => {
  install(one, place(name));
  held.push(koffi.load(place(name)));
  return place(name);
};

let path = loaded('replaced.so');
install(two, path);
out.replaced = opening(path);

path = loaded('opened.so');
const kept = open(path);
kept.update({ work: 'other' });
install(two, path);
out.replacedWhileOpen = opening(path);

path = loaded('linked.so');
symlinkSync(path, place('symlink.so'));
install(two, path);
out.symlink = opening(place('symlink.so'));

path = loaded('hard.so');
linkSync(path, place('hard-link.so'));
install(two, path);
out.hardLinkOfTheOld = opening(place('hard-link.so'));

path = loaded('moved.so');
renameSync(path, place('moved.old.so'));
install(two, path);
out.moved = opening(path);
out.movedAway = opening(place('moved.old.so'));

mkdirSync(place('folder'));
install(one, place('folder/spelled.so'));
held.push(koffi.load(`${place('folder')}/../folder/spelled.so`));
install(two, place('folder/spelled.so'));
out.spelledOtherwise = opening(place('folder/spelled.so'));

path = loaded('same.so');
const open1 = open(path);
open1.update({ work: 'other' });
install(one, path);
out.sameAgain = opening(path);

// Headers and code on one page: what an update changed is no other file.
install(joined, place('joined.so'));
const open2 = open(place('joined.so'));
open2.update({ work: 'other' });
out.openTwice = opening(place('joined.so'));
console.log(JSON.stringify(out));
