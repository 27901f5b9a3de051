// One state: the bytes of the site in memory, and for each CPU what it may still fetch, where it
// stands, its registers and its stack.

import type { Film } from '../film.js';
import type { CpuSnapshot, Word } from '../snapshot.js';
import { Bytes, Chip, styleOf } from './bytes.jsx';

export function Site({ film, at }: { readonly film: Film; readonly at: number }) {
  const { versions, frames, rows } = film;
  const frame = frames[at] ?? frames[0];
  if (frame === undefined) return null;
  const last = rows[at - 1];
  return (
    <section class="pane site" aria-label="The site and the CPUs">
      <h2>
        The site
        <small>
          after step {at} of {rows.length}
        </small>
      </h2>
      <div class="scroll" tabIndex={0} role="region" aria-label="State after this step">
        {frame.site.length > 0 ? (
          <table class="versions">
            <caption class="sr">Bytes of the site: in memory now, and in each version</caption>
            <thead>
              <tr>
                <td />
                {frame.site.map(({ name }) => (
                  <th scope="col" key={name}>
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              <tr class="now">
                <th scope="row">memory</th>
                {frame.site.map((byte, i) => (
                  <td key={i}>
                    <Chip byte={byte} versions={versions} changed={last?.changed[i] === true} />
                  </td>
                ))}
              </tr>
              {versions.map((version, v) => (
                <tr key={v}>
                  <th scope="row">{styleOf(v, versions).words}</th>
                  {version.bytes.map((value, i) => (
                    <td key={i}>
                      <Chip byte={{ value, world: v }} versions={versions} />
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        ) : (
          <p>No step writes this site: it calls through a pointer.</p>
        )}
        <p class="says">
          A call may reach <b>{frame.current.join(' or ')}</b>
          {frame.replaced.length > 0 && <>; replaced: {frame.replaced.join(', ')}</>}.{' '}
          {frame.patcher === null
            ? 'The patcher waits or is done.'
            : `The patcher's next step: ${frame.patcher}.`}
        </p>
        {frame.cpus.map((cpu) => (
          <Cpu key={cpu.who} cpu={cpu} film={film} />
        ))}
        {frame.table.length > 0 && (
          <Words title="The table that a handler reads" words={frame.table} />
        )}
      </div>
    </section>
  );
}

function Cpu({ cpu, film: { versions } }: { readonly cpu: CpuSnapshot; readonly film: Film }) {
  const stale = cpu.may.some((values) => values.length > 1);
  return (
    <article class="cpu">
      <h3>
        CPU {cpu.who}
        <small>
          {cpu.done ? 'done' : `at ${cpu.at}`}
          {cpu.context === 'task' ? '' : `, in ${cpu.context}`}
          {cpu.interrupts ? '' : ', interrupts off'}
        </small>
      </h3>
      {cpu.fetched !== null && (
        <p>
          has fetched <Bytes bytes={cpu.fetched} versions={versions} />
        </p>
      )}
      {cpu.may.length > 0 && !cpu.done && (
        <div class="may">
          <span>may fetch</span>
          {cpu.may.map((values, i) => (
            <span class="stacked" key={i}>
              {values.map((byte) => (
                <Chip key={byte.value} byte={byte} versions={versions} />
              ))}
            </span>
          ))}
          {stale && <small>old bytes stay possible until it serialises</small>}
        </div>
      )}
      <Words title="Registers and stack" words={[...cpu.registers, ...cpu.stack]} />
    </article>
  );
}

function Words({ title, words }: { readonly title: string; readonly words: readonly Word[] }) {
  return (
    <details>
      <summary>{title}</summary>
      <dl>
        {words.map(({ name, value }, i) => (
          <div key={i}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}
