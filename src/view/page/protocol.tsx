// The protocol: its steps with their reasons, each of which can be switched off and moved, and the
// whole as text to be edited.

import { useState } from 'preact/hooks';
import type { Step } from '../../plan/protocol.js';
import { isEditable, proposalFor, stepText, type Question } from '../question.js';
import type { Session } from '../session.js';

interface Props {
  readonly session: Session;
  readonly onEdit: (steps: readonly Step[]) => void;
  readonly onType: (text: string) => void;
}

const SYNC: Step = { do: 'sync', why: 'added by hand' };

export function Protocol({ session, onEdit, onType }: Props) {
  const { question, film, at } = session;
  const proposal = proposalFor(question);
  const { protocol } = proposal;
  const editable = question.own !== null || isEditable(proposal);
  const steps = protocol.steps;
  const marked = film.rows[at - 1];
  const current = marked !== undefined && marked.who < 0 ? marked.step : -1;
  return (
    <section class="pane protocol" aria-label="The protocol">
      <h2>
        Protocol<small>{question.own === null ? 'of the zoo' : 'edited'}</small>
      </h2>
      <div class="scroll" tabIndex={0} role="region" aria-label="Steps of the protocol">
        <p class="about">{protocol.about}</p>
        <ol class="steps">
          {steps.map((step, i) => (
            <li key={i} class={i === current ? 'here' : ''}>
              <div>
                <b>{stepText(step)}</b>
                <small>{step.why}</small>
              </div>
              {editable && (
                <span class="edit">
                  <button
                    type="button"
                    disabled={i === 0}
                    aria-label={`Step ${i + 1} earlier`}
                    onClick={() => onEdit(swapped(steps, i - 1))}
                  >
                    ↑
                  </button>
                  <button
                    type="button"
                    disabled={steps.length === 1}
                    aria-label={`Leave out step ${i + 1}: ${stepText(step)}`}
                    onClick={() => onEdit(steps.toSpliced(i, 1))}
                  >
                    ✕
                  </button>
                </span>
              )}
            </li>
          ))}
        </ol>
        {editable ? (
          <>
            <button type="button" onClick={() => onEdit([...steps, SYNC])}>
              + sync at the end
            </button>
            <Text question={question} onType={onType} />
          </>
        ) : (
          <p class="note">
            Its handler is this proposal's own, so its steps can be read but not edited.
          </p>
        )}
        <Sources proposal={proposal} />
      </div>
    </section>
  );
}

const swapped = (steps: readonly Step[], i: number): readonly Step[] => {
  const [a, b] = steps.slice(i, i + 2);
  return a === undefined || b === undefined ? steps : steps.toSpliced(i, 2, b, a);
};

function Text({
  question,
  onType,
}: {
  readonly question: Question;
  readonly onType: Props['onType'];
}) {
  const whole = JSON.stringify(proposalFor(question).protocol, null, 1);
  const [text, setText] = useState<string | null>(null);
  return (
    <details>
      <summary>Edit as text</summary>
      <textarea
        aria-label="The protocol as JSON"
        spellcheck={false}
        rows={12}
        value={text ?? whole}
        onInput={({ currentTarget }) => setText(currentTarget.value)}
      />
      <button
        type="button"
        disabled={text === null}
        onClick={() => {
          onType(text ?? whole);
          setText(null);
        }}
      >
        Take this text
      </button>
    </details>
  );
}

function Sources({ proposal }: { readonly proposal: ReturnType<typeof proposalFor> }) {
  const { handler, accepts } = proposal.protocol;
  return (
    <p class="note">
      {handler === null ? 'No trap handler.' : `Trap handler: ${handler}.`}{' '}
      {accepts.within === null
        ? 'Every site.'
        : `Sites whose ${accepts.bytes} bytes lie in one ${accepts.within}.`}
    </p>
  );
}
