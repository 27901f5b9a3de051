// A program whose runtime lies: each word that a tool reads from it is given a value that no
// runtime of ours has, the tool attaches and looks, and the word is put back. argv: pid, JSON
// {slow}: also what takes the tool its whole patience. Prints one line of JSON: what was answered
// to each lie.
import { attachWith } from '#app/attach';
import { look } from '#app/look';
import { PAGE } from '#base/addr';
import { isFault } from '#base/fault';
import { openNative } from '#machine/linux/native';
import { findRuntime } from '#machine/remote/runtime';
import { Target } from '#machine/remote/target';
import { DATA, GROUP, RECORD, SLOT, TABLE } from '#trap/registry';

const [, , number, text] = process.argv;
const pid = Number(number);
const { slow } = JSON.parse(text);
const native = openNative();
const target = new Target(pid);
const word = (at) => Number(target.word(at));
const set = (at, value) => target.write(at, new Uint8Array(BigUint64Array.of(value).buffer));

function attached() {
  let app = null;
  try {
    app = attachWith(native, pid, {});
    app.update({ route: 'fast' });
    app.update({ route: 'slow' });
    return 'done';
  } catch (error) {
    return told(error);
  } finally {
    app?.detach();
  }
}
const told = (error) =>
  isFault(error) ? `${error.code}${error.hint ? '' : ', without a cure'}` : `crash: ${error.stack}`;
function looked() {
  try {
    look(pid);
    return 'done';
  } catch (error) {
    return told(error);
  }
}

const first = attached();
const data = findRuntime(target, target.maps()) + PAGE;
const table = word(data + DATA.tables);
const record = word(data + DATA.records);
const group = word(record + RECORD.groups);
const NOWHERE = 0x1234_5000n;
const MANY = 0x8000_0000n;
const lies = {
  'another version': [data + DATA.version, 99n],
  'no mark': [data + DATA.magic, 0n],
  'tables that are nowhere': [data + DATA.tables, NOWHERE],
  'tables at the end of memory': [data + DATA.tables, 0xffff_ffff_ffff_fff0n],
  'a table of 2^31 sites': [table + TABLE.count, MANY],
  'a table of 2^64 - 1 sites': [table + TABLE.count, 0xffff_ffff_ffff_ffffn],
  'a table of no site': [table + TABLE.count, 0n],
  'a table behind itself': [table + TABLE.next, BigInt(table)],
  'a record that is nowhere': [table + TABLE.slots + SLOT.word, NOWHERE],
  'groups that are nowhere': [record + RECORD.groups, NOWHERE],
  'a group of 2^31 sites': [group + GROUP.count, MANY],
  'a group of no site': [group + GROUP.count, 0n],
  'a group behind itself': [group + GROUP.next, BigInt(group)],
  'a text without an end': [group + GROUP.end, 0x7fff_ffff_ffffn],
  'a trampoline that is none of its sites': [group + GROUP.trampoline, MANY],
  'a site that is nowhere': [group + GROUP.columns, NOWHERE],
  'an epoch at its end': [data + DATA.epoch, 0xffff_ffff_ffff_ffffn],
  ...(slow && { 'a lock that nobody gives back': [data + DATA.lock, 1n] }),
};
const answers = {};
for (const [name, [at, value]] of Object.entries(lies)) {
  const before = target.word(at);
  const began = performance.now();
  set(at, value);
  const answer = [attached(), looked()];
  if (performance.now() - began > 60_000) answer.push('too late');
  // What was counted meanwhile stays counted.
  if (target.word(at) === value) set(at, before);
  else answer.push('written over');
  answers[name] = [...answer, attached()];
}
target.close();
console.log(JSON.stringify({ first, answers }));
