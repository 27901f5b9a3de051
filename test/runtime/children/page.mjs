// The page of machine code of a Node process that made its runtime itself, and where its words are.
import { image } from '#native/image';
import { Runtime } from '#machine/process/runtime';
import { openNative } from '#machine/linux/native';

const native = openNative();
const runtime = new Runtime(native);
const page = Buffer.from(native.view(runtime.handler, 4096)).toString('hex');
const words = image().flatMap(({ offset, code }) => code.words.map((word) => offset + word.offset));
console.log(JSON.stringify({ page, words }));
