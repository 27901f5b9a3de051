// A run of scripts/frida.mjs as docs/attach.md has it.

const time = (ns) => {
  if (ns >= 1e7) return `${(ns / 1e6).toFixed(0)} ms`;
  if (ns >= 1e6) return `${(ns / 1e6).toFixed(1)} ms`;
  return ns >= 1e3 ? `${(ns / 1e3).toFixed(ns >= 1e5 ? 0 : 1)} us` : `${ns.toFixed(1)} ns`;
};
const amount = ({ kb, mappings, descriptors, threads }) =>
  `${(kb / 1024).toFixed(1)} MB, ${mappings} mappings, ${descriptors} descriptors, ${threads} threads`;

const ROWS = [
  ['time to attach', (tool) => time(tool.attach)],
  ['longest pause of a thread that calls all the time, meanwhile', (t) => time(t.pauseAttach)],
  ['the same while nothing happens', (tool) => time(tool.pauseWithout)],
  ['a change, as the tool sees it', (tool) => time(tool.change)],
  ['longest pause meanwhile', (tool) => time(tool.pauseChange)],
  ['a call before', (tool) => time(tool.call)],
  ['a call through the changed place', (tool) => time(tool.callChanged)],
  ['the same by `replaceFast`', (tool) => (tool.callQuick ? time(tool.callQuick) : '')],
  ['a call that a function of the tool sees', (t) => (t.callSeen ? time(t.callSeen) : 'none does')],
  ['in the program while the tool is attached', (tool) => amount(tool.with)],
  ['what remains when it has detached', (tool) => amount(tool.after)],
  ['what remains when it was killed', (tool) => amount(tool.afterKill)],
  ['wrong results', (tool) => String(tool.wrong)],
  [
    'programs that outlive 100 changes of a place that a thread calls through all the time',
    (tool, rounds) =>
      `${tool.survived} of ${rounds}` +
      (tool.survived === rounds
        ? ''
        : `; died after ${tool.survivedChanges} changes at the median`),
  ],
];

export function table({ machine, rounds, tools, missing }) {
  const names = Object.keys(tools);
  const title = { attach: '`attach`', frida: `Frida ${tools.frida?.version}` };
  const rows = ROWS.map(
    ([what, cell]) => `| ${what} | ${names.map((name) => cell(tools[name], rounds)).join(' | ')} |`,
  );
  const { cpu, cpus, kernel, date, load } = machine;
  return `| | ${names.map((name) => title[name]).join(' | ')} |
| --- |${' --- |'.repeat(names.length)}
${rows.join('\n')}

Medians of ${rounds} programs each; ${cpu}, ${cpus} CPUs, Linux ${kernel},
${date.slice(0, 10)}, load ${load.toFixed(2)} when the run began.${missing === null ? '' : ` Frida is missing: ${missing}.`}
`;
}

const README_ROW = /^\| through a function that Frida .*$/m;
/** The README with that run's row of its table, where a direct call in a loop is 1. */
export function inReadme(readme, { tools: { attach, frida }, missing }) {
  if (missing !== null) return readme;
  const ratio = (after, { call }) => (after / call).toPrecision(3);
  const quick = frida.callQuick ? `, by \`replaceFast\` ${ratio(frida.callQuick, frida)}` : '';
  const cells = [
    `through a function that Frida ${frida.version} replaced, or a call that \`attach\` changed`,
    `${ratio(frida.callChanged, frida)}${quick}`,
    ratio(attach.callChanged, attach),
  ];
  if (!README_ROW.test(readme)) throw new Error('the README has no row for Frida');
  return readme.replace(README_ROW, () => `| ${cells.join(' | ')} |`);
}

const BEGIN = '<!-- from docs/frida.json, by scripts/frida.mjs -->\n\n';
const END = '\n<!-- until here -->';

/** The page with the table of that run. */
export function written(page, result) {
  const [before, rest] = page.split(BEGIN);
  const behind = rest?.slice(rest.indexOf(END));
  if (behind === undefined) throw new Error('the page has no place for the table');
  return `${before}${BEGIN}${table(result)}${behind}`;
}
