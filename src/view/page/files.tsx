// Files that were dropped: what `inspect` says of each, and its sites on the lines of its text.

import { useState } from 'preact/hooks';
import { hex } from '../../base/addr.js';
import { printable } from '../../base/printable.js';
import type { FileFacts, SiteFacts } from '../../inspect/facts.js';
import { crossings, CROSSED, groups, linesOf, type Line } from '../map.js';
import type { Refusal } from '../search.js';

export interface Dropped {
  readonly name: string;
  readonly reading: boolean;
  readonly files: readonly FileFacts[];
  readonly refusal: Refusal | null;
}

const count = (n: number, what: string): string =>
  `${n.toLocaleString('en-US')} ${what}${n === 1 ? '' : 's'}`;

export function Files({
  dropped,
  onFiles,
}: {
  readonly dropped: readonly Dropped[];
  readonly onFiles: (files: readonly File[]) => void;
}) {
  return (
    <div class="files">
      <label class="drop">
        <b>Drop an object, a module or a kernel image here</b>, or choose one. It is read in this
        page and goes nowhere.
        <input
          type="file"
          multiple
          onChange={({ currentTarget }) => {
            onFiles([...(currentTarget.files ?? [])]);
            currentTarget.value = '';
          }}
        />
      </label>
      {dropped.map((each) => (
        <article key={each.name} aria-label={printable(each.name)}>
          {each.reading && (
            <p role="status">
              <b class="spin">reading</b> {printable(each.name)}
            </p>
          )}
          {each.refusal !== null && (
            <p class="refusal" role="alert">
              <b>{each.refusal.code}</b> {printable(each.refusal.message)}
              <small>{each.refusal.hint}</small>
            </p>
          )}
          {each.files.map((file) => (
            <FileView key={file.path} file={file} />
          ))}
        </article>
      ))}
    </div>
  );
}

function FileView({ file }: { readonly file: FileFacts }) {
  const crossed = crossings(file);
  return (
    <section class="file">
      <h2>
        {printable(file.path)}
        <small>
          {file.kind ?? 'unreadable'}, {count(file.sites.length, 'site')},{' '}
          {count(file.keys.length, 'key')}, {count(file.trampolines.length, 'trampoline')}
        </small>
      </h2>
      {file.faults.map((fault) => (
        <p class="refusal" role="alert" key={fault.message}>
          <b>{fault.code}</b> {printable(fault.message)}
          <small>{fault.hint}</small>
        </p>
      ))}
      {file.remark !== undefined && <p class="note">{printable(file.remark)}</p>}
      {file.kind !== null && file.sites.length === 0 && (
        <p>No static call is in it: no site leads to a trampoline.</p>
      )}
      {file.sites.length > 0 && (
        <>
          <p>
            {CROSSED.filter((unit) => (crossed.get(unit) ?? 0) > 0)
              .map(
                (unit) => `${count(crossed.get(unit) ?? 0, 'call')} over the end of ${unit} bytes`,
              )
              .join(', ') || 'No call crosses even eight bytes'}
            ; {count(crossed.get(null) ?? 0, 'call')} inside an aligned quadword.
          </p>
          <div class="tables">
            <ByName title="Sites by key" sites={file.sites} by="key" />
            <ByName title="Sites by function" sites={file.sites} by="function" />
          </div>
          <Map file={file} />
        </>
      )}
    </section>
  );
}

const ROWS_FIRST = 12;

function ByName({
  title,
  sites,
  by,
}: {
  readonly title: string;
  readonly sites: readonly SiteFacts[];
  readonly by: 'key' | 'function';
}) {
  const [most, setMost] = useState(ROWS_FIRST);
  const all = groups(sites, by);
  return (
    <div class="byname">
      <h3>
        {title}
        <small>{all.length.toLocaleString('en-US')}</small>
      </h3>
      <table>
        <thead>
          <tr>
            <th scope="col">{by}</th>
            <th scope="col">sites</th>
            <th scope="col">call</th>
            <th scope="col">tail</th>
            <th scope="col">by one store</th>
          </tr>
        </thead>
        <tbody>
          {all.slice(0, most).map(({ name, sites: list }) => (
            <tr key={name}>
              <th scope="row">{printable(name)}</th>
              <td>{list.length}</td>
              <td>{list.filter(({ kind }) => kind === 'call').length}</td>
              <td>{list.filter(({ tail }) => tail).length}</td>
              <td>{list.filter(({ protocols }) => protocols.includes('store')).length}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {all.length > most && (
        <button type="button" onClick={() => setMost(most * 8)}>
          {count(all.length - most, 'more row')}
        </button>
      )}
    </div>
  );
}

const LINES_FIRST = 48;

function Map({ file }: { readonly file: FileFacts }) {
  const [most, setMost] = useState(LINES_FIRST);
  const lines = linesOf(file);
  return (
    <div class="map">
      <h3>
        Lines of text that hold a call
        <small>
          {lines.length.toLocaleString('en-US')}; each is 64 bytes
          {file.sites.some(({ lineCertain }) => !lineCertain) &&
            ', if the section begins at a line, which only linking decides'}
        </small>
      </h3>
      <ul class="legend" aria-label="Colours of the map">
        <li>
          <i class="mark" /> inside a quadword
        </li>
        {CROSSED.toReversed().map((unit) => (
          <li key={unit}>
            <i class={`mark x${unit}`}>{unit}</i> crosses {unit === 64 ? 'a line' : `${unit} bytes`}
          </li>
        ))}
      </ul>
      <ol class="cells">
        {lines.slice(0, most).map((line) => (
          <LineView key={`${line.section} ${line.at}`} line={line} />
        ))}
      </ol>
      {lines.length > most && (
        <button type="button" onClick={() => setMost(most * 4)}>
          {count(lines.length - most, 'more line')}
        </button>
      )}
    </div>
  );
}

/** Ends of quadwords inside a line, the longer the larger the unit that ends there. */
const QUADWORDS = [8, 16, 24, 32, 40, 48, 56] as const;
function topOf(at: number): number {
  if (at % 32 === 0) return 0;
  return at % 16 === 0 ? 2 : 4;
}

function LineView({ line }: { readonly line: Line }) {
  const told = line.marks
    .map(({ site }) => `${site.key} in ${site.function ?? 'code without a name'}`)
    .join(', ');
  return (
    <li>
      <code>{printable(`${line.section} ${hex(line.at)}`.trim())}</code>
      <svg viewBox="0 0 64 8" preserveAspectRatio="none" role="img" aria-label={printable(told)}>
        {QUADWORDS.map((at) => (
          <line key={at} x1={at} x2={at} y1={topOf(at)} y2="8" />
        ))}
        {line.marks.map(({ site, from, to, crossed }) => (
          <rect
            key={`${site.offset}`}
            class={crossed === null ? '' : `x${crossed}`}
            x={from}
            width={to - from}
            y="1"
            height="6"
          >
            <title>{printable(`${site.key} in ${site.function ?? '?'}: ${site.bytes}`)}</title>
          </rect>
        ))}
      </svg>
      <span>{printable(line.marks.map(({ site }) => site.key).join(', '))}</span>
    </li>
  );
}
