// Be the scheduler: every move that the model allows, what each breaks at once, and what could
// still be broken.

import { optionsOf, type Film, type Option } from '../film.js';
import type { Choice } from '../../check/search/expand.js';
import type { Session } from '../session.js';
import { styleOf } from './bytes.jsx';

export interface Acts {
  readonly onMove: (choice: Choice) => void;
  readonly onUndo: () => void;
  readonly onLook: () => void;
  readonly onFollow: (path: readonly Choice[]) => void;
}

/** Moves that have a number on the keyboard. */
export const KEYS_MOST = 9;

export function Scheduler({ session, acts }: { readonly session: Session; readonly acts: Acts }) {
  const { film } = session;
  const options = optionsOf(film);
  return (
    <section class="scheduler" aria-label="Be the scheduler">
      <h3>
        What happens next?
        <small>
          {options.length === 0 ? 'Nothing can.' : `${options.length} moves are possible: take one`}
        </small>
      </h3>
      <ol class="moves">
        {options.map((option, i) => (
          <li key={i}>
            <Move film={film} option={option} i={i} onMove={acts.onMove} />
          </li>
        ))}
      </ol>
      <Broken film={film} />
      <p class="tools">
        <button type="button" onClick={acts.onUndo} disabled={film.rows.length === 0}>
          ↶ take back
        </button>
        <button type="button" onClick={acts.onLook}>
          What could still break?
        </button>
      </p>
      <Ahead session={session} onFollow={acts.onFollow} />
    </section>
  );
}

function Move({
  film,
  option,
  i,
  onMove,
}: {
  readonly film: Film;
  readonly option: Option;
  readonly i: number;
  readonly onMove: Acts['onMove'];
}) {
  const { who, what, whole, breaks, choice } = option;
  const tag = whole === null || whole === 'same' ? null : styleOf(whole, film.versions);
  return (
    <button type="button" class={breaks.length > 0 ? 'breaks' : ''} onClick={() => onMove(choice)}>
      {i < KEYS_MOST && <kbd aria-hidden="true">{i + 1}</kbd>}
      <span>
        <b>{who < 0 ? 'patcher' : `CPU ${who}`}</b> {what}{' '}
        {tag !== null && (
          <b class={`tag ${tag.name}`}>
            {tag.letter} {tag.words}
          </b>
        )}
        {breaks.map(({ property, text }) => (
          <small key={property}>
            ✕ breaks {property}: {text}
          </small>
        ))}
      </span>
    </button>
  );
}

function Broken({ film: { breaches } }: { readonly film: Film }) {
  if (breaches.length === 0) return null;
  return (
    <div class="broken" role="status">
      <ul>
        {breaches.map(({ property, text, at }) => (
          <li key={`${property} ${at}`}>
            <b>✕ {property}</b> at step {at + 1}: {text}
          </li>
        ))}
      </ul>
    </div>
  );
}

function Ahead({
  session: { ahead },
  onFollow,
}: {
  readonly session: Session;
  readonly onFollow: Acts['onFollow'];
}) {
  if (ahead === null) return null;
  const seen = ahead.whole
    ? 'Everything that can follow was looked at.'
    : `Only the next ${ahead.states.toLocaleString('en-US')} states were looked at.`;
  return (
    <div role="status">
      {ahead.found.length === 0 ? (
        <p>Nothing breaks. {seen}</p>
      ) : (
        <>
          <p>{seen}</p>
          <ul class="moves">
            {ahead.found.map(({ property, text, path }) => (
              <li key={property}>
                <button type="button" onClick={() => onFollow(path)}>
                  <span>
                    <b>{property}</b> in {path.length} {path.length === 1 ? 'move' : 'moves'}:{' '}
                    {text}
                  </span>
                </button>
              </li>
            ))}
          </ul>
        </>
      )}
    </div>
  );
}
