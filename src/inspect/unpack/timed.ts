// A bound on the time of a decoder that is JavaScript.

import { createContext, runInContext } from 'node:vm';
import { Fault } from '../../base/fault.js';

/**
 * Bytes a millisecond. The slowest decoder that is run so does 45 MB/s on an idle machine. On one
 * where five programs shared each CPU it did 20 MB/s and less, and an honest kernel was refused.
 */
const PACE = 4_000;
const START_MS = 2000;

/**
 * Runs a decoder that is JavaScript and checks no lengths of its own: a few bytes of damage can
 * keep its inner loop busy for minutes. The engine ends it from another thread.
 */
export function timed<T>(packing: string, bytes: number, decode: () => T): T {
  const timeout = START_MS + Math.ceil(bytes / PACE);
  const done: { result?: { value: T } } = {};
  try {
    runInContext('run()', createContext({ run: () => void (done.result = { value: decode() }) }), {
      timeout,
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error;
  }
  if (done.result) return done.result.value;
  throw new Fault('bad-packing', `the ${packing} stream took more than ${timeout / 1000} s`, {
    hint: 'it is damaged, or this machine is busy: unpack it by its own program',
  });
}
