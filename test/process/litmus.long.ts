import { expect, it } from 'vitest';
import { whyNot } from '#host/litmus';
import { line } from '../cli/line.js';
import { complaints } from '../cli/schema.js';

it.skipIf(whyNot() !== null)(
  'every program on this CPU, one second each: the model forbids nothing that is seen',
  async () => {
    const began = performance.now();
    const { status, stdout } = await line(['check', '--litmus', '--seconds-max', '1', '--json']);
    const seconds = (performance.now() - began) / 1000;
    expect(complaints(JSON.parse(stdout))).toEqual([]);
    const { programs, conflicts } = JSON.parse(stdout) as {
      programs: {
        name: string;
        seen: Record<string, number>;
        skipped: string | null;
        conflict: string[];
      }[];
      conflicts: number;
    };
    const forbidden = programs.filter(({ conflict }) => conflict.length > 0);
    expect(forbidden).toEqual([]);
    expect([status, conflicts]).toEqual([0, 0]);
    expect(seconds).toBeGreaterThan(programs.filter(({ skipped }) => skipped === null).length);
    expect(programs.find(({ name }) => name === 'bytes-line')?.seen['mixed']).toBeGreaterThan(0);
    console.log(programs.map(({ name, seen }) => `${name}: ${JSON.stringify(seen)}`).join('\n'));
  },
);
