// The retpoline of the benchmark's loops is the compiler's own, or its row would be about something
// else.

import { expect, it } from 'vitest';
import { callsSource } from '#bench/programs';
import { readElf } from '#elf/read';
import { build, gcc } from '../build.js';

/** A call through r11 under gcc's option: the thunk comes with it. */
const CALLER =
  'void (*target)(void);\nvoid call(void) { register void (*f)(void) __asm__("r11") = target; __asm__ volatile("" : "+r"(f)); f(); __asm__ volatile(""); }\n';

/**
 * Code of a symbol of a relocatable object; a thunk of gcc's has no size and a section of its own.
 */
function codeOf(source: string, flags: readonly string[], symbol: string): string {
  const object = readElf(build('gcc', '.c', source, ['-O2', '-c', ...flags]), 'in.o');
  const symbols = object.symbols!;
  const i = symbols.find(symbol);
  const data = object.data(object.sections[symbols.sectionIndex(i)]!);
  return Buffer.from(
    data.subarray(symbols.value(i), symbols.value(i) + (symbols.size(i) || data.length)),
  ).toString('hex');
}

it('the retpoline in the loops is byte for byte what gcc makes of -mindirect-branch=thunk', ({
  skip,
}) => {
  skip(!gcc, 'gcc is not installed');
  const flags = [
    '-fcf-protection=none',
    '-mindirect-branch=thunk',
    '-mindirect-branch-register',
    '-fno-pic',
  ];
  const theirs = codeOf(CALLER, flags, '__x86_indirect_thunk_r11');
  expect(theirs).toMatch(/^e807000000f3900faee8ebf9/); // call over it; pause; lfence; jmp back
  expect(codeOf(callsSource(), ['-Iinclude', '-fPIC'], 'bench_thunk')).toBe(theirs);
  // The way of old, without pause, would be seen.
  expect(
    codeOf(callsSource().replace('pause', 'nop'), ['-Iinclude', '-fPIC'], 'bench_thunk'),
  ).not.toBe(theirs);
});
