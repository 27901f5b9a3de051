// The bar that asks: the protocol, the machine, what may interrupt, and the search.

import { SITE_SHAPES } from '../../machine/sim/settings.js';
import { FETCH_LEVELS } from '../../machine/sim/settings.js';
import {
  CONTEXT_NAMES,
  titleOf,
  type Configuration,
  type ContextName,
} from '../../check/configuration.js';
import type { Proposal } from '../../zoo/index.js';
import { ROWS } from '../question.js';
import type { Session } from '../session.js';

interface Props {
  readonly session: Session;
  readonly onChoose: (name: string, environment: Configuration['environment']) => void;
  readonly onConfigure: (given: Partial<Configuration>) => void;
  readonly onSearch: () => void;
  readonly onStop: () => void;
}

/** The machine is folded away where there is no room for it. */
const isPhone = (): boolean => matchMedia('(max-width: 820px)').matches;

const nameOf = ({ name: protocol, variant }: Proposal): string => titleOf({ protocol, variant });

const CHUNK_NAMES = [
  'byte',
  'qword',
  'fetch16',
  'fetch32',
  'line',
] as const satisfies readonly Configuration['chunk'][];

const WHERE = { kernel: 'in the kernel', user: 'in a process' } as const;

export function Ask({ session, onChoose, onConfigure, onSearch, onStop }: Props) {
  const { question, searching } = session;
  return (
    <form
      class="ask"
      aria-label="What to check"
      onSubmit={(event) => {
        event.preventDefault();
        if (searching === null) onSearch();
        else onStop();
      }}
    >
      <Row question={question} onChoose={onChoose} />
      <details class="machine" open={!isPhone()}>
        <summary>machine</summary>
        <div class="settings">
          <Machine given={question.configuration} onConfigure={onConfigure} />
          <More given={question.configuration} onConfigure={onConfigure} />
        </div>
      </details>
      <button type="submit" class="primary">
        {searching === null ? 'Search' : 'Stop'}
      </button>
    </form>
  );
}

function Row({ question, onChoose }: Pick<Props, 'onChoose'> & Pick<Session, 'question'>) {
  const { environment: here } = question.configuration;
  const chosen = `${here} ${question.own === null ? titleOf(question) : ''}`;
  return (
    <label class="wide">
      <span>protocol</span>
      <select
        id="protocol"
        value={chosen}
        onChange={({ currentTarget: { value } }) => {
          const [environment, name = ''] = value.split(' ');
          onChoose(name, environment === 'kernel' ? 'kernel' : 'user');
        }}
      >
        {question.own !== null && <option value={`${here} `}>{question.own.name} (edited)</option>}
        {(['user', 'kernel'] as const).map((environment) => (
          <optgroup label={WHERE[environment]} key={environment}>
            {ROWS.filter((row) => row.environment === environment).map((row) => (
              <option key={nameOf(row)} value={`${environment} ${nameOf(row)}`}>
                {nameOf(row)}
              </option>
            ))}
          </optgroup>
        ))}
      </select>
    </label>
  );
}

interface MachineProps extends Pick<Props, 'onConfigure'> {
  readonly given: Configuration;
}

function Machine({ given, onConfigure }: MachineProps) {
  return (
    <>
      <fieldset>
        <legend>what interrupts, {WHERE[given.environment]}</legend>
        {CONTEXT_NAMES.filter((name) => name !== 'task' && lives(name, given.environment)).map(
          (name) => (
            <label class="toggle" key={name}>
              <input
                type="checkbox"
                checked={given.contexts.includes(name)}
                onChange={({ currentTarget: { checked } }) =>
                  onConfigure({ contexts: toggled(given.contexts, name, checked) })
                }
              />
              <span>{name}</span>
            </label>
          ),
        )}
      </fieldset>
      <Choice
        name="fetch"
        value={given.fetch}
        words={FETCH_LEVELS}
        onChange={(fetch) => onConfigure({ fetch })}
      />
      <Choice
        name="by"
        value={given.chunk}
        words={CHUNK_NAMES}
        onChange={(chunk) => onConfigure({ chunk })}
      />
      <Count
        name="CPUs"
        value={given.cpus}
        most={4}
        onChange={(cpus) => onConfigure({ cpus, tasks: cpus })}
      />
      <Count
        name="passes"
        value={given.passes}
        most={4}
        onChange={(passes) => onConfigure({ passes })}
      />
      <Count
        name="updates"
        value={given.updates}
        most={2}
        onChange={(updates) => onConfigure({ updates })}
      />
    </>
  );
}

function More({ given, onConfigure }: MachineProps) {
  return (
    <details class="more">
      <summary>more</summary>
      <div>
        <Choice
          name="site"
          value={given.site}
          words={SITE_SHAPES}
          onChange={(site) => onConfigure({ site })}
        />
        <label>
          <span>offset in its line</span>
          <input
            type="number"
            min={0}
            max={63}
            value={given.offset ?? ''}
            placeholder="usual"
            onChange={({ currentTarget }) =>
              onConfigure({
                offset: currentTarget.value === '' ? null : Number(currentTarget.value),
              })
            }
          />
        </label>
        <Choice
          name="stores by"
          value={given.store}
          words={['byte', 'qword', 'line'] as const}
          onChange={(store) => onConfigure({ store })}
        />
        <Choice
          name="patcher"
          value={given.patcher}
          words={['beside', 'task'] as const}
          onChange={(patcher) => onConfigure({ patcher })}
        />
        <label class="toggle">
          <input
            type="checkbox"
            checked={given.tso}
            onChange={({ currentTarget }) => onConfigure({ tso: currentTarget.checked })}
          />
          <span>store buffers (TSO)</span>
        </label>
        <label class="toggle">
          <input
            type="checkbox"
            checked={given.shadowStack}
            onChange={({ currentTarget }) => onConfigure({ shadowStack: currentTarget.checked })}
          />
          <span>shadow stacks</span>
        </label>
      </div>
    </details>
  );
}

const lives = (name: ContextName, environment: Configuration['environment']): boolean =>
  environment === 'kernel' ? name !== 'signal' : name === 'signal' || name === 'preempt';

const toggled = (
  contexts: readonly ContextName[],
  name: ContextName,
  on: boolean,
): readonly ContextName[] =>
  CONTEXT_NAMES.filter((each) => (each === name ? on : contexts.includes(each)));

function Choice<T extends string>({
  name,
  value,
  words,
  onChange,
}: {
  readonly name: string;
  readonly value: T;
  readonly words: readonly T[];
  readonly onChange: (value: T) => void;
}) {
  return (
    <label>
      <span>{name}</span>
      <select
        value={value}
        onChange={({ currentTarget }) => {
          const chosen = words[currentTarget.selectedIndex];
          if (chosen !== undefined) onChange(chosen);
        }}
      >
        {words.map((word) => (
          <option key={word}>{word}</option>
        ))}
      </select>
    </label>
  );
}

function Count({
  name,
  value,
  most,
  onChange,
}: {
  readonly name: string;
  readonly value: Configuration['cpus'];
  readonly most: number;
  readonly onChange: (value: number) => void;
}) {
  return (
    <label class="count">
      <span>{name}</span>
      <select
        value={String(value)}
        onChange={({ currentTarget }) => onChange(currentTarget.selectedIndex + 1)}
      >
        {Array.from({ length: most }, (_, i) => (
          <option key={i}>{i + 1}</option>
        ))}
        {value === 'any' && <option>any</option>}
      </select>
    </label>
  );
}
