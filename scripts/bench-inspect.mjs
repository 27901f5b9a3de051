// The rows of `npm run bench:objects` for inspect: the whole command, start of the process included, beside a tool that
// only lists the section headers of the same files, in alternating rounds of one run. The most memory is what the process itself says at its end.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('../bin/static-call', import.meta.url));
const REPORT = 'data:text/javascript,process.on("exit",()=>process.stderr.write("maxrss "+process.resourceUsage().maxRSS+"\\n"))';
const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

function timed(command, args) {
  const began = performance.now();
  const done = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 28 });
  const ms = performance.now() - began;
  if (done.status !== 0) throw new Error(`${command} ${args.slice(0, 3).join(' ')} ended with ${done.error?.message ?? done.status}\n${done.stderr}`);
  return { ms, stdout: done.stdout, maxMb: Number(/maxrss (\d+)/.exec(done.stderr)?.[1] ?? 0) / 1024 };
}

/**
 * @param {string} folder what scripts/corpus brought
 * @param {number} rounds
 * @returns {{ what: string, ms: number, limitMs: number, beside: string, besideMs: number, maxMb: number, limitMb: number, says: string }[]}
 */
export function inspectRows(folder, rounds = 5) {
  const kernel = join(folder, 'kernel');
  const files = readdirSync(kernel, { recursive: true, withFileTypes: true }).filter((f) => f.isFile()).map((f) => join(f.parentPath, f.name));
  const modules = files.filter((f) => f.endsWith('.ko'));
  const image = files.find((f) => /\/vmlinuz-[^/]*$/.test(f));
  const cases = [
    { what: `inspect ${modules.length} modules`, target: join(kernel, 'lib'), limitMs: 1500, beside: ['readelf', ['-SW', ...modules]] },
    { what: 'inspect the distributed image', target: image, limitMs: 3000, beside: ['readelf', ['-SW', modules[0]]] },
  ];
  return cases.map(({ what, target, limitMs, beside: [tool, args] }) => {
    const own = [];
    const others = [];
    for (let round = 0; round < rounds; round++) {
      own.push(timed(process.execPath, ['--import', REPORT, program, 'inspect', target]));
      others.push(timed(tool, args).ms);
    }
    return {
      what,
      ms: median(own.map((o) => o.ms)),
      limitMs,
      beside: `${tool} -SW${args.length > 2 ? '' : ' of one module'}`,
      besideMs: median(others),
      maxMb: Math.max(...own.map((o) => o.maxMb)),
      limitMb: 300,
      says: own[0].stdout.split('\n', 1)[0].replace(/^\S*\//, ''),
    };
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const r of inspectRows(process.argv[2] ?? process.env.STATIC_CALL_CORPUS ?? 'corpus')) {
    console.log(`${r.what}: ${r.ms.toFixed(0)} ms of ${r.limitMs} (${(r.ms / r.besideMs).toFixed(2)} x ${r.beside}); at most ${r.maxMb.toFixed(0)} MB of ${r.limitMb}; ${r.says}`);
  }
}
