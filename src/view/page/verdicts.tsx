// The verdict: one line that says the answer, and a table of every property.

import { PROPERTIES, type PropertyName } from '../../check/properties.js';
import type { RunReport } from '../../check/result.js';
import type { Session } from '../session.js';

const count = (n: number): string => n.toLocaleString('en-US');

export function Answer({ session }: { readonly session: Session }) {
  const { searching, report } = session;
  if (searching !== null && !searching.explaining)
    return (
      <p class="answer" role="status">
        <b class="spin">searching</b> {count(searching.states)} states,{' '}
        {searching.seconds.toFixed(1)} s
        {searching.failing.length > 0 && <>; fails so far: {searching.failing.join(', ')}</>}
      </p>
    );
  if (report === null) return null;
  const failing = PROPERTIES.filter(
    ({ name, apart }) => !apart && report.properties[name].verdict === 'fails',
  );
  return (
    <p class={`answer ${failing.length > 0 ? 'bad' : 'good'}`} role="status">
      <b>{said(report, failing.length)}</b> {effort(report)}
      {searching !== null && ' Drawing the failures…'}
    </p>
  );
}

function said(report: RunReport, failing: number): string {
  if (failing > 0) return `✕ Fails ${failing} ${failing === 1 ? 'promise' : 'promises'}.`;
  return report.exhaustive ? '✓ Holds within these bounds.' : '? Nothing found so far.';
}

const effort = ({ exhaustive, stopped, states, seconds }: RunReport): string =>
  `${exhaustive ? 'All' : `Stopped (${stopped}) after`} ${count(states)} states in ${seconds.toFixed(2)} s.`;

const WORDS = {
  holds: '✓ holds',
  fails: '✕ fails',
  unknown: '? unknown',
  'not-applicable': '– not asked',
  'not-searched': '–',
} as const;

export function Verdicts({
  session,
  onShow,
}: {
  readonly session: Session;
  readonly onShow: (property: PropertyName) => void;
}) {
  const { report, shown } = session;
  return (
    <section class="pane verdicts" aria-label="Verdicts">
      <h2>
        Verdicts<small>{report === null ? 'press Search to know' : 'click one that fails'}</small>
      </h2>
      <div class="scroll" tabIndex={0} role="region" aria-label="Table of verdicts">
        <table>
          <thead>
            <tr>
              <th scope="col">property</th>
              <th scope="col">verdict</th>
              <th scope="col">what it promises, or what happens</th>
            </tr>
          </thead>
          <tbody>
            {PROPERTIES.map(({ name, holds, apart }) => {
              const is = report?.properties[name];
              const word = is?.verdict ?? 'not-searched';
              return (
                <tr key={name} class={`${word}${shown === name ? ' here' : ''}`}>
                  <th scope="row">
                    {name}
                    {apart && <small> apart</small>}
                  </th>
                  <td>
                    {is?.path === undefined ? (
                      WORDS[word]
                    ) : (
                      <button
                        type="button"
                        aria-pressed={shown === name}
                        onClick={() => onShow(name)}
                      >
                        {WORDS[word]}, {is.steps} steps
                      </button>
                    )}
                  </td>
                  <td>{is?.story ?? holds}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </section>
  );
}
