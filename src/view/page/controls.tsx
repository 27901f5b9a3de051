// The bar that moves through time, and what the failure is compared with.

import { comparable, type Session } from '../session.js';

export interface Steering {
  readonly onGo: (to: number) => void;
  readonly onStep: (by: 1 | -1) => void;
  readonly onCrux: () => void;
  readonly onCompare: (under: string | null) => void;
  readonly onSchedule: (on: boolean) => void;
  readonly onShare: () => void;
}

export function Controls({
  session,
  steer,
  copied,
}: {
  readonly session: Session;
  readonly steer: Steering;
  readonly copied: boolean;
}) {
  const { film, scheduling } = session;
  return (
    <div class="controls" role="group" aria-label="Through time">
      <Steps session={session} steer={steer} />
      <button type="button" disabled={film.crux.length === 0} onClick={steer.onCrux}>
        crux
      </button>
      <Beside session={session} steer={steer} />
      <button
        type="button"
        class="primary"
        aria-pressed={scheduling}
        onClick={() => steer.onSchedule(!scheduling)}
      >
        {scheduling ? 'watch' : 'be the scheduler'}
      </button>
      <button type="button" onClick={steer.onShare}>
        {copied ? 'copied ✓' : 'copy address'}
      </button>
    </div>
  );
}

interface Part {
  readonly session: Session;
  readonly steer: Steering;
}

function Steps({ session: { film, at }, steer }: Part) {
  const last = film.rows.length;
  return (
    <>
      <button
        type="button"
        aria-label="To the beginning"
        disabled={at === 0}
        onClick={() => steer.onGo(0)}
      >
        |◀
      </button>
      <button
        type="button"
        aria-label="One step back"
        disabled={at === 0}
        onClick={() => steer.onStep(-1)}
      >
        ◀
      </button>
      <input
        type="range"
        aria-label="Step"
        min={0}
        max={last}
        value={at}
        onInput={({ currentTarget }) => steer.onGo(Number(currentTarget.value))}
      />
      <output>
        {at}/{last}
      </output>
      <button
        type="button"
        aria-label="One step on"
        disabled={at === last}
        onClick={() => steer.onStep(1)}
      >
        ▶
      </button>
      <button
        type="button"
        aria-label="To the end"
        disabled={at === last}
        onClick={() => steer.onGo(last)}
      >
        ▶|
      </button>
    </>
  );
}

function Beside({ session, steer }: Part) {
  const { film, under, scheduling } = session;
  return (
    <label>
      <span>beside it</span>
      <select
        aria-label="The same schedule under"
        value={under ?? ''}
        disabled={film.rows.length === 0 || scheduling}
        onChange={({ currentTarget: { value } }) => steer.onCompare(value === '' ? null : value)}
      >
        <option value="">nothing</option>
        {comparable(session).map((name) => (
          <option key={name}>{name}</option>
        ))}
      </select>
    </label>
  );
}
