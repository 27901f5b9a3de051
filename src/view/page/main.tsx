// The page: holds the session, performs what it asks for, and lays out the panes.

import { render } from 'preact';
import { useEffect, useMemo, useReducer, useRef, useState } from 'preact/hooks';
import { EXAMPLE, VERSION } from 'virtual:example';
import { addressOf, begin, reduce, type Action, type Session } from '../session.js';
import { optionsOf } from '../film.js';
import { Ask } from './ask.jsx';
import { Controls, type Steering } from './controls.jsx';
import { Files, type Dropped } from './files.jsx';
import { Protocol } from './protocol.jsx';
import { KEYS_MOST, Scheduler, type Acts } from './scheduler.jsx';
import { Site } from './site.jsx';
import { readFile, Searcher } from './threads.js';
import { Time } from './time.jsx';
import { Answer, Verdicts } from './verdicts.jsx';

type Tab = 'play' | 'files';
/** On a phone one pane at a time is shown. */
const PANES = ['time', 'site', 'protocol', 'verdicts'] as const;
type Pane = (typeof PANES)[number];

function App() {
  const [session, act] = useReducer<Session, Action>(reduce, begin(location.hash, EXAMPLE));
  const searcher = useMemo(() => new Searcher((news) => act({ do: 'news', news })), []);
  const [tab, setTab] = useState<Tab>('play');
  const [pane, setPane] = useState<Pane>('time');
  const { dropped, onFiles } = useFiles(() => setTab('files'));
  useAddress(session, act, searcher);
  useKeys(session, act);
  const showing = (next: Action) => {
    act(next);
    setPane('time');
  };
  return (
    <div
      class={`page ${tab} pane-${pane}`}
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event) => {
        event.preventDefault();
        onFiles([...(event.dataTransfer?.files ?? [])]);
      }}
    >
      <Header tab={tab} onTab={setTab} files={dropped.length} />
      <main>
        {tab === 'files' ? (
          <>
            <h1 class="sr">Files</h1>
            <Files dropped={dropped} onFiles={onFiles} />
          </>
        ) : (
          <Play {...{ session, act, searcher, pane, setPane, showing }} />
        )}
      </main>
      <Help />
    </div>
  );
}

interface PlayProps {
  readonly session: Session;
  readonly act: (action: Action) => void;
  readonly searcher: Searcher;
  readonly pane: Pane;
  readonly setPane: (pane: Pane) => void;
  readonly showing: (action: Action) => void;
}

function steering(
  act: PlayProps['act'],
  showing: PlayProps['showing'],
  setCopied: (copied: boolean) => void,
): Steering {
  return {
    onGo: (to) => act({ do: 'go', to }),
    onStep: (by) => act({ do: 'step', by }),
    onCrux: () => act({ do: 'crux' }),
    onCompare: (under) => act({ do: 'compare', under }),
    onSchedule: (on) => showing({ do: 'schedule', on }),
    onShare: () => {
      void copy(location.href).then(setCopied);
      setTimeout(() => setCopied(false), 2000);
    },
  };
}

const actsOf = (act: PlayProps['act']): Acts => ({
  onMove: (choice) => act({ do: 'move', choice }),
  onUndo: () => act({ do: 'undo' }),
  onLook: () => act({ do: 'look' }),
  onFollow: (path) => act({ do: 'follow', path }),
});

function Play({ session, act, searcher, pane, setPane, showing }: PlayProps) {
  const [copied, setCopied] = useState(false);
  const leaving = (action: Action) => {
    searcher.drop();
    act(action);
  };
  const steer = steering(act, showing, setCopied);
  const acts = actsOf(act);
  return (
    <>
      <h1 class="sr">Playground</h1>
      {session.first && <Intro />}
      <Ask
        session={session}
        onChoose={(name, environment) => leaving({ do: 'choose', name, environment })}
        onConfigure={(given) => leaving({ do: 'configure', given })}
        onSearch={() => {
          act({ do: 'search' });
          void searcher.ask(session.question);
        }}
        onStop={() => searcher.stop()}
      />
      <Refused session={session} act={act} />
      <Answer session={session} />
      <Panes pane={pane} setPane={setPane} />
      <div
        class={`grid${session.beside === null ? '' : ' two'}${session.scheduling ? ' scheduling' : ''}`}
      >
        <Protocol
          session={session}
          onEdit={(steps) => leaving({ do: 'edit', steps })}
          onType={(text) => leaving({ do: 'type', text })}
        />
        <div class="middle">
          <Time
            name="Time"
            session={session}
            film={session.film}
            at={session.at}
            onGo={steer.onGo}
          />
          {session.beside !== null && (
            <Time
              name={`The same schedule under ${session.beside.title}`}
              session={session}
              film={session.beside}
              at={null}
              onGo={() => {}}
            />
          )}
          {session.scheduling && <Scheduler session={session} acts={acts} />}
        </div>
        <Site film={session.film} at={session.at} />
        <Verdicts session={session} onShow={(property) => showing({ do: 'show', property })} />
      </div>
      <Controls session={session} steer={steer} copied={copied} />
    </>
  );
}

function Refused({ session: { refusal }, act }: Pick<PlayProps, 'session' | 'act'>) {
  if (refusal === null) return null;
  return (
    <p class="refusal" role="alert">
      <b>{refusal.code}</b> {refusal.message}
      <small>{refusal.hint}</small>
      <button type="button" aria-label="Close this message" onClick={() => act({ do: 'forgive' })}>
        ✕
      </button>
    </p>
  );
}

function Panes({ pane, setPane }: Pick<PlayProps, 'pane' | 'setPane'>) {
  return (
    <nav class="panes" aria-label="Panes">
      {PANES.map((each) => (
        <button type="button" key={each} aria-pressed={each === pane} onClick={() => setPane(each)}>
          {each}
        </button>
      ))}
    </nav>
  );
}

function Header({
  tab,
  onTab,
  files,
}: {
  readonly tab: Tab;
  readonly onTab: (tab: Tab) => void;
  readonly files: number;
}) {
  return (
    <header>
      <p class="brand">
        static-call <small>{VERSION}</small>
      </p>
      <nav aria-label="Parts of the page">
        <button type="button" aria-pressed={tab === 'play'} onClick={() => onTab('play')}>
          Playground
        </button>
        <button type="button" aria-pressed={tab === 'files'} onClick={() => onTab('files')}>
          Files{files > 0 ? ` (${files})` : ''}
        </button>
        <button type="button" aria-label="Keyboard and words" onClick={() => help()?.showModal()}>
          ?
        </button>
      </nav>
    </header>
  );
}

function Intro() {
  return (
    <p class="intro">
      A <b>static call</b> is a call instruction of five bytes that is rewritten while other CPUs
      run it. In the first picture the bytes are written one after the other: a CPU fetches between
      two of the stores and runs a <b class="tag mix">✕ mixture</b> that leads nowhere. A red line
      joins the two steps that decide, the crux. In the second, the same moments under <i>int3</i>:
      the first byte becomes a one-byte <b class="tag trap">T trap</b> before the others change, so
      a CPU runs the old call, the trap, or the new call, and never a mixture. To choose the steps
      yourself, <i>be the scheduler</i>.
    </p>
  );
}

const help = (): HTMLDialogElement | null => document.querySelector('dialog');

const KEYS = [
  ['← →', 'one step back, one step on'],
  ['Home End', 'to the beginning, to the end'],
  ['c', 'to the crux, where the failure is decided'],
  ['s', 'be the scheduler, or watch again'],
  ['1 to 9', 'take that move'],
  ['u', 'take the last move back'],
  ['/', 'choose a protocol'],
  ['Enter', 'search'],
  ['?', 'this'],
] as const;

function Help() {
  return (
    <dialog aria-label="Keyboard and words">
      <h2>Keyboard</h2>
      <dl>
        {KEYS.map(([keys, what]) => (
          <div key={keys}>
            <dt>
              <kbd>{keys}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <h2>Words</h2>
      <p>
        <b>Fetch level F3</b>: until it serialises, a CPU may use any version of a byte that was
        there. <b>Sync</b>: afterwards no CPU runs what it fetched before. <b>Crux</b>: the two
        steps that decide, filled and joined. A verdict holds within the bounds that were searched,
        and no further.
      </p>
      <form method="dialog">
        <button type="submit">close</button>
      </form>
    </dialog>
  );
}

/** The address follows what is seen, and what is seen follows an address that was pasted. */
function useAddress(session: Session, act: (action: Action) => void, searcher: Searcher): void {
  const written = useRef(location.hash);
  useEffect(() => {
    if (session.first) return;
    written.current = addressOf(session);
    history.replaceState(null, '', written.current);
  }, [session.film, session.at, session.under, session.first]);
  useEffect(() => {
    const changed = (): void => {
      if (location.hash === written.current) return;
      searcher.drop();
      act({ do: 'open', fragment: location.hash });
    };
    addEventListener('hashchange', changed);
    return () => removeEventListener('hashchange', changed);
  }, []);
}

function useFiles(onDropped: () => void) {
  const [dropped, setDropped] = useState<readonly Dropped[]>([]);
  const put = (next: Dropped): void =>
    setDropped((all) => [next, ...all.filter(({ name }) => name !== next.name)]);
  const onFiles = (files: readonly File[]): void => {
    if (files.length === 0) return;
    onDropped();
    for (const file of files) {
      const base = { name: file.name, files: [], refusal: null };
      put({ ...base, reading: true });
      void readFile(file)
        .catch((error: unknown) => ({
          code: 'no-such-file',
          message: `${file.name} cannot be read: ${String(error)}`,
          hint: 'drop a file, not a folder',
        }))
        .then((said) =>
          put(
            'code' in said
              ? { ...base, reading: false, refusal: said }
              : { ...base, reading: false, files: said },
          ),
        );
    }
  };
  return { dropped, onFiles };
}

function useKeys(session: Session, act: (action: Action) => void): void {
  const now = useRef(session);
  now.current = session;
  useEffect(() => {
    const pressed = (event: KeyboardEvent): void => {
      const { target, key, ctrlKey, metaKey, altKey } = event;
      if (ctrlKey || metaKey || altKey || help()?.open === true) return;
      if (target instanceof HTMLElement && target.matches('input, select, textarea')) return;
      const action = actionOf(key, now.current);
      if (action === 'protocol') document.getElementById('protocol')?.focus();
      else if (action === 'help') help()?.showModal();
      else if (action !== null) act(action);
      if (action !== null) event.preventDefault();
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, []);
}

/** What a key does. */
function actionOf(key: string, { film, scheduling }: Session): Action | 'protocol' | 'help' | null {
  switch (key) {
    case 'ArrowLeft':
      return { do: 'step', by: -1 };
    case 'ArrowRight':
      return { do: 'step', by: 1 };
    case 'Home':
      return { do: 'go', to: 0 };
    case 'End':
      return { do: 'go', to: film.rows.length };
    case 'c':
      return { do: 'crux' };
    case 's':
      return { do: 'schedule', on: !scheduling };
    case 'u':
      return scheduling ? { do: 'undo' } : null;
    case '/':
      return 'protocol';
    case '?':
      return 'help';
    default: {
      const number = Number(key);
      if (!scheduling || !(number >= 1 && number <= KEYS_MOST)) return null;
      const option = optionsOf(film)[number - 1];
      return option === undefined ? null : { do: 'move', choice: option.choice };
    }
  }
}

async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without the permission the address bar has it all the same.
    return false;
  }
}

const root = document.getElementById('app');
if (root !== null) {
  root.replaceChildren();
  render(<App />, root);
  performance.mark('picture');
}
