// The main job, live: builds the checksum example, retargets it while it runs, and says what came
// of it.

import { runDemo, type DemoResult } from '../../host/demo.js';
import { page } from '../../host/demo-page.js';
import { replaceFile } from '../../base/file.js';
import { EXIT, isFault, type Fault } from '../../base/fault.js';
import type { ProtocolName } from '../../plan/protocols/index.js';
import { printable } from '../../base/printable.js';
import type { Context } from '../context.js';
import { progress } from '../progress.js';
import { table } from '../table.js';

export interface Flags {
  readonly seconds: number;
  readonly threads: number;
  readonly file?: string;
  readonly protocol: ProtocolName;
  readonly writer?: 'procmem' | 'alias';
  readonly html?: string;
  readonly json: boolean;
}

function text(result: DemoResult, context: Context): string {
  const { targets } = result;
  const right = (title: string) => ({ title, align: 'right' as const });
  const summary = table(
    [{ title: '' }, right('')],
    [
      ['calls', result.calls],
      ['batches, three keys each', result.updates],
      ['batches per second', result.batchesPerSecond],
      ['calls emulated by the trap handler', result.traps],
      ['wrong results', result.wrong],
      ['sites inline', result.inline],
      ['sites on their trampoline', result.trampoline],
      ['ns for a call, before the sites were patched', result.callNs.before],
      ['ns for a call, after', result.callNs.after],
    ],
  );
  const received = table(
    [{ title: 'target' }, { title: 'key' }, right('calls received')],
    [
      ...['crc_table', 'crc_slice8', 'crc_hardware'].map(
        (name) => [name, 'checksum', targets[name]!] as const,
      ),
      ...['trace_count', 'trace_ring', 'null'].map(
        (name) => [name, 'trace', targets[name]!] as const,
      ),
      ...['filter_third', 'filter_none', 'ret0'].map(
        (name) => [name, 'filter', targets[name]!] as const,
      ),
    ],
    (head) => context.paint('bold', head),
  );
  const how = `protocol ${result.protocol}, writer ${result.writer}, ${result.threads} threads`;
  return `${how}, ${result.seconds.toFixed(1)} s\n\n${summary}\n\n${received}`;
}

/**
 * Where no process can be patched the argument can still be had: one line says what is missing,
 * then the checker shows the wrong way beside the one that runs in a process.
 */
async function explain(context: Context, fault: Fault): Promise<number> {
  const { check } = await import('../../check/ask/check.js');
  const { PROPERTIES } = await import('../../check/properties.js');
  const lead =
    fault.code === 'no-compiler' ? 'the demo cannot be built' : 'no process can be patched here';
  context.note(
    `${lead}: ${printable(fault.message)} (${fault.hint}). What would have run, checked instead:`,
  );
  const { runs } = await check(['naive', 'int3'], { environment: 'user', signal: context.signal });
  for (const { protocol, properties, states } of runs) {
    const failed = PROPERTIES.filter(
      ({ name, apart }) => !apart && properties[name].verdict === 'fails',
    ).map(({ name }) => properties[name]);
    const verdict =
      failed.map(({ story }) => story).join('; ') ||
      `holds in all of its ${states.toLocaleString('en-US')} states`;
    context.print(
      [`${protocol}: ${verdict}`, ...failed.map(({ picture }) => `\n${picture}\n`)].join('\n'),
    );
  }
  return EXIT.environment;
}

export async function run(context: Context, flags: Flags): Promise<number> {
  try {
    return await live(context, flags);
  } catch (error) {
    if (!isFault(error) || error.exit !== EXIT.environment || flags.json) throw error;
    return explain(context, error);
  }
}

async function live(context: Context, flags: Flags): Promise<number> {
  using line = progress(context);
  const { file, html, ...rest } = flags;
  const result = await runDemo({
    ...rest,
    // One store cannot be had through /proc/self/mem, so that protocol brings its writer with it.
    writer: flags.writer ?? (flags.protocol === 'store' ? 'alias' : 'procmem'),
    file: file ?? process.execPath,
    env: context.env,
    signal: context.signal,
    onProgress: (so) =>
      line.show(
        () =>
          `${so.secondsLeft.toFixed(1)} s left  ${so.updates.toLocaleString('en-US')} batches  ` +
          `${so.calls.toLocaleString('en-US')} blocks summed  ${so.wrong} wrong`,
      ),
  });
  line.end();
  if (flags.json) context.json('static-call/demo@1', result);
  else context.print(text(result, context));
  // Behind the answer: a page that cannot be written must not cost the run.
  if (html !== undefined) replaceFile(html, page(result));
  return result.wrong === 0 ? EXIT.good : EXIT.no;
}
