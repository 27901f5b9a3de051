import { expect, it } from 'vitest';
import { whyNot } from '#app/litmus';
import { contextFor } from '#cli/context';
import { litmus } from '#cli/litmus';

it.skipIf(whyNot() !== null)('every program on this CPU, three seconds each: the model forbids nothing that is seen', async () => {
  let answer = '';
  const context = contextFor({ stdout: { write: (text: string) => (answer += text) }, stderr: { write: () => 0 }, env: {} });
  try {
    expect(await litmus(context, { json: true, milliseconds: 3000 })).toBe(0);
  } finally {
    context.release();
  }
  const { programs, conflicts } = JSON.parse(answer) as { programs: { name: string; seen: Record<string, number> }[]; conflicts: number };
  expect(conflicts).toBe(0);
  expect(programs.find(({ name }) => name === 'bytes-line')?.seen['mixed']).toBeGreaterThan(0);
  console.log(programs.map(({ name, seen }) => `${name}: ${JSON.stringify(seen)}`).join('\n'));
});
