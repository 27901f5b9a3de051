// Mistakes that the tests must notice: one row each, alphabetical by file and then by name, so that
// rows which are added at once do not meet. `npm run mutants` judges all of them, and `npm run
// mutants -- WORD` those whose name or file has the word. test/mutants/run.mjs says what a field
// means. A row belongs to a step of a protocol, a condition or a bound whose absence no other test
// would show at once.

/** @type {import('./run.mjs').Mutant[]} */
export const MUTANTS = [
  {
    name: 'calls through the GOT are aligned as direct ones by the launcher',
    file: 'bin/launch.sh',
    edits: [['| -fno-plt |', '|']],
    test: { file: 'test/cside/launch.long.ts', name: 'leaves to node' },
    long: true,
  },
  {
    name: 'an update of many keys makes an object for each',
    file: 'dist/app/journal.js',
    edits: [['const TOLD_AT_ONCE = 16;', 'const TOLD_AT_ONCE = Infinity;']],
    test: { file: 'test/process/keys.long.ts', name: 'make the list of their changes' },
    long: true,
  },
  {
    name: 'return 0 is taken though it was not declared',
    file: 'dist/app/target.js',
    edits: [['if (!def.mayReturn0)', 'if (false)']],
    test: { file: 'test/app/target.test.ts', name: 'that the C side did not declare' },
  },
  {
    name: 'a trace counts what earlier traces of its key have counted',
    file: 'dist/app/trace.js',
    edits: [['Number(this.#last - this.#before)', 'Number(this.#last)']],
    test: { file: 'test/process/trace.long.ts', name: 'are as many as the program itself' },
    long: true,
  },
  {
    name: 'a trace leaves its key with the counter',
    file: 'dist/app/trace.js',
    edits: [['this.#counts.end(this.#update)', 'false']],
    test: { file: 'test/process/trace.long.ts', name: 'are no more counted afterwards' },
    long: true,
  },
  {
    name: 'an error of the system is thrown on in the server',
    file: 'dist/app/worker.js',
    edits: [['return -errnoOf(error);', 'throw error;']],
    test: { file: 'test/process/lives.test.ts', name: 'when descriptors are used up' },
    long: true,
    hang: true,
  },
  {
    name: "the owner of a file is not the new file's",
    file: 'dist/base/file.js',
    edits: [['fchownSync(file, owner, gid);', '']],
    test: { file: 'test/base/file.test.ts' },
  },
  {
    name: 'a name of a file reaches the terminal as it is',
    file: 'dist/base/printable.js',
    edits: [
      ['return ASCII.test(text) ? text : text.replace(UNPRINTABLE, escaped);', 'return text;'],
    ],
    test: { file: 'test/cli/hostile.test.ts', name: 'reaches no terminal in inspect --by site' },
  },
  {
    name: 'one CPU of a log synchronises for all',
    file: 'dist/check/conform.js',
    edits: [['this.#log.cpus.every(', 'this.#log.cpus.some(']],
    test: { file: 'test/check/conform.test.ts', name: 'one CPU does not synchronise' },
  },
  {
    name: 'a load sees a store whole, whatever the store is made of',
    file: 'dist/check/litmus/allowed.js',
    edits: [
      [
        '{ ...LITMUS_MACHINE, ...machine, fetch }',
        '{ ...LITMUS_MACHINE, ...machine, fetch, store: "line" }',
      ],
    ],
    test: { file: 'test/check/litmus.test.ts', name: 'a load is torn where' },
  },
  {
    name: 'fetches in order are no model that explains a CPU',
    file: 'dist/check/litmus/allowed.js',
    edits: [['Object.keys(ABOVE)', "Object.keys(ABOVE).filter((level) => level !== 'F1')"]],
    test: { file: 'test/check/litmus.test.ts', name: 'is in-order fetches where' },
  },
  {
    name: 'what one CPU does against every model is known of all models of its family',
    file: 'dist/check/litmus/departures.js',
    edits: [[' && model === cpu.model', '']],
    test: { file: 'test/check/litmus.test.ts', name: 'known of this CPU' },
  },
  {
    name: 'nothing is ever stuck',
    file: 'dist/check/search/engine.js',
    edits: [['return neverReturns(', 'return true || neverReturns(']],
    test: { file: 'test/check/twin.test.ts', name: 'int3-gap/spin' },
  },
  {
    name: 'the engine lets the patcher go on before CPUs have answered',
    file: 'dist/check/search/engine.js',
    edits: [['move.answered ? KIND.answered : 0', 'move.answered ? 0 : 0']],
    test: { file: 'test/check/twin.test.ts', name: 'int3-gap/spin' },
  },
  {
    name: 'data that no handler keeps is used by no other call, and slot holds',
    file: 'dist/check/search/run.js',
    edits: [["name !== 'slot' || fixture.stashes", 'true']],
    test: { file: 'test/check/several.test.ts', name: 'is judged of globals' },
  },
  {
    name: 'what lies behind the end of a path holds',
    file: 'dist/check/search/run.js',
    edits: [['return cut.size === 0 ?', 'return true ?']],
    test: { file: 'test/check/alone.test.ts', name: 'says nothing of the others' },
  },
  {
    name: 'bytes that are no UTF-8 are joined into one name',
    file: 'dist/elf/object.js',
    edits: [["if (!text.includes('\\ufffd'))", 'if (true)']],
    test: { file: 'test/cside/names.test.ts', name: 'stays another name than one that is' },
  },
  {
    name: 'relocations in another form are left out',
    file: 'dist/elf/object.js',
    edits: [['if (s.type !== N.SHT_RELA && !(s.type in UNREAD))', 'if (s.type !== N.SHT_RELA)']],
    test: { file: 'test/inspect/kinds.test.ts', name: 'SHT_CREL over code' },
  },
  {
    name: 'standard input has no bound',
    file: 'dist/inspect/files.js',
    edits: [['if (length > MOST)', 'if (false)']],
    test: { file: 'test/inspect/files.test.ts', name: 'a pipe that does not end' },
  },
  {
    name: 'the init range is closed at its end',
    file: 'dist/inspect/kernel.js',
    edits: [['site.at < init.end', 'site.at <= init.end']],
    test: { file: 'test/inspect/kernel.test.ts', name: 'a site at the very end' },
  },
  {
    name: 'a branch that jumps unless its key is on counts as one that jumps if it is',
    file: 'dist/inspect/live/branches.js',
    edits: [['key.on !== negated', 'key.on']],
    test: { file: 'test/inspect/live.test.ts', name: 'a static key: all of its branches' },
  },
  {
    name: 'an update is under way though no lock is held',
    file: 'dist/inspect/live/calls.js',
    edits: [
      ["if (!first || !this.#kernel.locked(['text_mutex', 'static_call_mutex']))", 'if (!first)'],
    ],
    test: { file: 'test/inspect/live.test.ts', name: 'is drift where no lock is held' },
  },
  {
    name: 'of two blocks of a flattened dump the earlier counts',
    file: 'dist/inspect/live/kdump.js',
    edits: [['next.at > last.at', 'false']],
    test: { file: 'test/inspect/live.test.ts', name: 'of which a block was written twice' },
  },
  {
    name: 'a match of three bytes is looked for too near',
    file: 'dist/inspect/unpack/lzo.js',
    edits: [['distance + 2048', 'distance']],
    test: { file: 'test/inspect/live.test.ts', name: 'gives back what was packed' },
  },
  {
    name: 'a declaration that the type contradicts is believed',
    file: 'dist/keys/bind.js',
    edits: [['returns !== PERMITTED_TYPE[permit]', 'false']],
    test: { file: 'test/cside/keys.test.ts', name: 'a key that may be empty, though' },
  },
  {
    name: 'a target is declared for whatever key its record names',
    file: 'dist/keys/bind.js',
    edits: [['if (symbol === KEY_PREFIX + key)', 'if (true)']],
    test: { file: 'test/cside/names.test.ts', name: 'a target that is declared for a macro' },
  },
  {
    name: "a record's version is not looked at",
    file: 'dist/keys/records.js',
    edits: [['if (!VERSIONS.includes(version))', 'if (false)']],
    test: { file: 'test/cside/keys.test.ts', name: 'of another version' },
  },
  {
    name: 'the type alone declares null and return 0',
    file: 'dist/keys/records.js',
    edits: [['version === VERSION_BY_TYPE ? returns : null', 'returns']],
    test: { file: 'test/cside/keys.test.ts', name: 'are emptied, and return 0, where' },
  },
  {
    name: "a key's name is written as it is",
    file: 'dist/keys/typescript.js',
    edits: [['IDENTIFIER.test(name) ? name : quoted(name)', 'name']],
    test: { file: 'test/cside/names.test.ts', name: 'a record whose name is code' },
  },
  {
    name: 'a claim is never taken over',
    file: 'dist/machine/process/claim.js',
    edits: [['if (gone && Atomics', 'if (false && Atomics']],
    test: { file: 'test/process/lives.test.ts', name: 'in the first open of the process' },
    long: true,
    hang: true,
  },
  {
    name: 'a second mapping that another opening made is not noticed',
    file: 'dist/machine/process/engine.js',
    edits: [["return regions === this.#runtime.held('regions');", 'return true;']],
    test: { file: 'test/process/answers.test.ts', name: 'opens it again with writer alias' },
    long: true,
  },
  {
    name: 'small keys of two texts are gathered into one batch',
    file: 'dist/machine/process/gathering.js',
    edits: [['this.#room(row.text, edits)', 'this.#room(0, edits)']],
    test: { file: 'test/machine/gather.test.ts', name: 'one batch for each text' },
  },
  {
    name: 'a rebuilt file is accepted',
    file: 'dist/machine/process/loaded.js',
    edits: [['if (difference !== null)', 'if (false)']],
    test: { file: 'test/process/rebuilt.test.ts', name: 'by a build that differs in one constant' },
  },
  {
    name: 'a second copy beside a replaced file is accepted',
    file: 'dist/machine/process/loaded.js',
    edits: [['if (beside && home?.path === path)', 'if (false)']],
    test: { file: 'test/process/rebuilt.test.ts', name: 'under another spelling' },
  },
  {
    name: 'only the first page of a rebuilt file is compared',
    file: 'dist/machine/process/loaded.js',
    edits: [['const whole = home?.path !== path;', 'const whole = false;']],
    test: { file: 'test/process/rebuilt.test.ts', name: 'by a build that differs in one constant' },
  },
  {
    name: 'texts are not read back after a death',
    file: 'dist/machine/process/runtime.js',
    edits: [['if (this.#halves[DATA.stale / 4] !== 0)', 'if (false)']],
    test: {
      file: 'test/process/hazards.test.ts',
      name: 'a worker that is terminated in the middle of an update',
    },
    long: true,
  },
  {
    name: 'the server sleeps without a limit',
    file: 'dist/machine/process/runtime.js',
    edits: [['FUTEX.waitPrivate, value, this.#slice', 'FUTEX.waitPrivate, value, 0']],
    test: { file: 'test/process/lives.test.ts', name: 'when a test runner terminates its worker' },
    hang: true,
  },
  {
    name: 'a thread that was looked at is not read again after it ran',
    file: 'dist/machine/process/threads.js',
    edits: [['ranNs === 0 || seen.ranNs !== ranNs ||', 'ranNs === 0 ||']],
    test: { file: 'test/process/hazards.test.ts', name: 'slept through three looks' },
    long: true,
  },
  {
    name: 'a veneer is used without a synchronisation',
    file: 'dist/machine/process/veneers.js',
    edits: [['syncCores(native);', '']],
    test: { file: 'test/machine/veneers.test.ts', name: 'is synchronised before it is used' },
  },
  {
    name: 'whether a target is in reach is asked of the end of the text alone',
    file: 'dist/machine/process/veneers.js',
    edits: [['Math.abs(target - this.#start) <= REACH && ', '']],
    test: { file: 'test/machine/veneers.test.ts', name: 'from both ends' },
  },
  {
    name: 'whether a target is in reach is asked of the start of the text alone',
    file: 'dist/machine/process/veneers.js',
    edits: [[' && Math.abs(target - this.#end) <= REACH', '']],
    test: { file: 'test/machine/veneers.test.ts', name: 'from both ends' },
  },
  {
    name: "a borrowed thread's signals are blocked before its registers are exchanged",
    file: 'dist/machine/remote/borrow.js',
    edits: [
      [
        "this.#door.setRegisters(thread.id, registers);\n            this.#at('run set');\n            this.#door.setMask(thread.id, EVERY_SIGNAL);",
        "this.#door.setMask(thread.id, EVERY_SIGNAL);\n            this.#at('run set');\n            this.#door.setRegisters(thread.id, registers);",
      ],
    ],
    test: { file: 'test/remote/attach.test.ts', name: 'killed between any two of its steps' },
    long: true,
  },
  {
    name: "a borrowed thread's state is put back before its signals are let in again",
    file: 'dist/machine/remote/borrow.js',
    edits: [
      ["this.#door.setMask(thread.id, thread.mask);\n            this.#at('mask back');", ''],
      [
        "this.#at('registers back');",
        "this.#at('registers back');\n            this.#door.setMask(thread.id, thread.mask);\n            this.#at('mask back');",
      ],
    ],
    test: { file: 'test/remote/attach.test.ts', name: 'killed between any two of its steps' },
    long: true,
  },
  {
    name: 'the kernel makes an interrupted call again over what a thread was sent to',
    file: 'dist/machine/remote/borrow.js',
    edits: [
      [
        "registers[REGISTER.flags] = word(thread, 'flags') & FLAGS;\n        registers[REGISTER.originalRax] = BigInt.asUintN(64, -1n);",
        "registers[REGISTER.flags] = word(thread, 'flags') & FLAGS;",
      ],
    ],
    test: { file: 'test/remote/attach.test.ts', name: 'goes where it is sent' },
  },
  {
    name: 'a thread that cannot be stopped is borrowed',
    file: 'dist/machine/remote/choose.js',
    edits: [["if (state === 'R')", "if (state === 'R' || state === 'D')"]],
    test: { file: 'test/remote/choose.test.ts', name: 'is never one that cannot be stopped' },
  },
  {
    name: 'a thread is gone where it could not be asked for',
    file: 'dist/machine/remote/door.js',
    edits: [['waited === -ERRNO.noChild', 'waited < 0']],
    test: { file: 'test/remote/door.test.ts', name: 'is not gone where' },
  },
  {
    name: 'a thread is single-stepped to its system call',
    file: 'dist/machine/remote/door.js',
    edits: [['syscall: 24,', 'syscall: 9,']],
    test: { file: 'test/remote/attach.test.ts', name: 'goes where it is sent' },
  },
  {
    name: 'a thread that was never asked to stop is late for ever',
    file: 'dist/machine/remote/door.js',
    edits: [
      [
        'this.#ptrace(PTRACE.interrupt, thread);\n                this.#late.add(thread);',
        'this.#late.add(thread);',
      ],
    ],
    test: { file: 'test/remote/door.test.ts', name: 'is asked again' },
  },
  {
    name: 'the stops of system calls are not told from signals',
    file: 'dist/machine/remote/door.js',
    edits: [['const TRACESYSGOOD = 1;', 'const TRACESYSGOOD = 0;']],
    test: { file: 'test/remote/attach.test.ts', name: 'goes where it is sent' },
  },
  {
    name: "a borrowed thread's frame takes its alternate stack away",
    file: 'dist/machine/remote/frame.js',
    edits: [['const STACK_AS_IT_IS = 0x40;', 'const STACK_AS_IT_IS = 2;']],
    test: { file: 'test/remote/choose.test.ts', name: 'says nothing of the alternate stack' },
  },
  {
    name: "a borrowed thread's vector registers are not in its frame",
    file: 'dist/machine/remote/frame.js',
    edits: [['view.setBigUint64(context + CONTEXT.extended, BigInt(frame + at), true);', '']],
    test: { file: 'test/remote/choose.test.ts', name: 'says nothing of the alternate stack' },
  },
  {
    name: 'an interrupted call with a duration is made again whole',
    file: 'dist/machine/remote/frame.js',
    edits: [['clean: false };', 'clean: true };']],
    test: { file: 'test/remote/choose.test.ts', name: 'a call with a duration' },
  },
  {
    name: 'the handler of another process has no restorer',
    file: 'dist/machine/remote/handler.js',
    edits: [['BigInt(restorer), 0n', '0n, 0n']],
    test: { file: 'test/remote/attach.test.ts', name: 'goes where it is sent' },
  },
  {
    name: 'a thread may stand in the middle of a site',
    file: 'dist/machine/remote/hold.js',
    edits: [['if (isInside(at, stretches))', 'if (false)']],
    test: { file: 'test/remote/stop.test.ts', name: 'none stands in the middle of a site' },
  },
  {
    name: 'a thread that was made while the others were stopped runs on',
    file: 'dist/machine/remote/hold.js',
    edits: [['if (asked.length === 0)', 'if (known.size > 0 || asked.length === 0)']],
    test: { file: 'test/remote/stop.test.ts', name: 'made in between are stopped too' },
  },
  {
    name: 'a thread that was stopped goes on by SYSRET',
    file: 'dist/machine/remote/hold.js',
    edits: [['other[REGISTER.rcx] = 0n;', '']],
    test: { file: 'test/remote/stop.test.ts', name: 'made to return by IRET' },
  },
  {
    name: 'a descriptor of its memory stays in another process',
    file: 'dist/machine/remote/run.js',
    edits: [["script((s) => s.using(this.fileAt, 'close', 0))", 'script(() => {})']],
    test: { file: 'test/remote/attach.test.ts', name: 'goes where it is sent' },
  },
  {
    name: 'a number that is another file by now is closed',
    file: 'dist/machine/remote/runtime.js',
    edits: [['if (ours !== null && inodeOf(path) === ours)', 'if (true)']],
    test: { file: 'test/remote/meanwhile.test.ts', name: 'closes all of its descriptors' },
    long: true,
  },
  {
    name: 'another program in the same process is taken for this one',
    file: 'dist/machine/remote/target.js',
    edits: [['return same && this.#hasMemory();', 'return same;']],
    test: { file: 'test/remote/meanwhile.test.ts', name: 'executes another program' },
  },
  {
    name: 'an update of one key replaces what the other may call',
    file: 'dist/machine/sim/environment.js',
    edits: [['| (env.current & ~own)', '']],
    test: { file: 'test/check/several.test.ts', name: 'kept apart by a handler' },
    long: true,
  },
  {
    name: 'a handler that acknowledges is not interrupted before it leaves',
    file: 'dist/machine/sim/fixture.js',
    edits: [['this.handlersWrite || options.acknowledged', 'this.handlersWrite']],
    test: { file: 'test/check/waiting.test.ts', name: 'an NMI in a handler' },
  },
  {
    name: 'a pass that never comes back is not noticed',
    file: 'dist/machine/sim/judge.js',
    edits: [
      [
        'if (top.site < 0)\n            return;\n        const { at }',
        'if (top.site < 100)\n            return;\n        const { at }',
      ],
    ],
    test: { file: 'test/check/mutants.test.ts', name: 'never comes back to its end' },
  },
  {
    name: 'a target of one key is as good as one of the other',
    file: 'dist/machine/sim/judge.js',
    edits: [['if ((own & (1 << target)) === 0)', 'if (false)']],
    test: { file: 'test/check/several.test.ts', name: 'confused by a stub' },
  },
  {
    name: 'globals describe every site',
    file: 'dist/machine/sim/judge.js',
    edits: [['!described.has(value)', 'false']],
    test: { file: 'test/check/several.test.ts', name: 'to the end of the other' },
  },
  {
    name: 'a grace period passes threads that are inside',
    file: 'dist/machine/sim/moves.js',
    edits: [
      [
        'return outside && (request === REQUEST.progress',
        'return (request === REQUEST.grace) || outside && (request === REQUEST.progress',
      ],
    ],
    test: { file: 'test/check/own-text.test.ts', name: 'several instructions' },
  },
  {
    name: 'a pass opens with the last piece of its fetch',
    file: 'dist/machine/sim/moves.js',
    edits: [['if (opens) {', 'if (false) {']],
    test: { file: 'test/sim/random.test.ts' },
  },
  {
    name: 'a path ends at the first promise that is broken',
    file: 'dist/machine/sim/moves.js',
    edits: [['cpu: next < 0 ? DEAD', 'cpu: next < 0 || bad.length > 0 ? DEAD']],
    test: { file: 'test/check/alone.test.ts', name: 'ends no path' },
  },
  {
    name: 'a store makes its target current',
    file: 'dist/machine/sim/patcher.js',
    edits: [
      [
        "            case 'store':\n",
        "            case 'store':\n                this.#ops.push({ ...origin, op: 'current', target: this.#target });\n",
      ],
    ],
    test: { file: 'test/check/alone.test.ts', name: 'by publish alone' },
  },
  {
    name: 'all CPUs serialise at one instant beside a second writer',
    file: 'dist/machine/sim/patcher.js',
    edits: [['const atEnd = this.#options.contended !== true;', 'const atEnd = true;']],
    test: { file: 'test/check/alone.test.ts', name: 'a moment of its own' },
  },
  {
    name: 'code is seen by every CPU from when it is emitted',
    file: 'dist/machine/sim/patcher.js',
    edits: [
      [
        'this.#bytes(origin, fresh.at, bytes);',
        "this.#bytes(origin, fresh.at, bytes), this.#ops.push({ ...origin, op: 'barrier' });",
      ],
    ],
    test: { file: 'test/check/fresh.test.ts', name: 'before it was written' },
  },
  {
    name: 'the opcode is written at the byte behind it',
    file: 'dist/machine/sim/patcher.js',
    edits: [['{ at: site.at + opcode, bytes: source', '{ at: site.at + opcode + 1, bytes: source']],
    test: { file: 'test/check/verdicts.test.ts', name: 'a hook at every form' },
  },
  {
    name: 'writes of CR3 serialise nothing',
    file: 'dist/machine/sim/patcher.js',
    edits: [['const self = hosted && ownSpace ?', 'const self = false ?']],
    test: { file: 'test/check/verdicts.test.ts', name: 'the writes of CR3' },
  },
  {
    name: 'a stopped thread goes on in its signal handler',
    file: 'dist/machine/sim/state.js',
    edits: [["(this.fixture.environment === 'user' || this.inTask)", 'this.inTask']],
    test: { file: 'test/check/alone.test.ts', name: 'stopped in a signal handler too' },
  },
  {
    name: 'a CPU fetches what it has overwritten where it runs',
    file: 'dist/machine/sim/text.js',
    edits: [['chunks[chunk] = [newestOf(chunks[chunk])];', '']],
    test: { file: 'test/check/alone.test.ts', name: 'runs what it stored' },
  },
  {
    name: 'a CPU forgets what it fetched before the last store',
    file: 'dist/machine/sim/text.js',
    edits: [['return [...older, content];', 'return [content];']],
    test: { file: 'test/sim/random.test.ts' },
  },
  {
    name: 'int3 may appear under a CPU at any byte of an instruction',
    file: 'dist/machine/sim/text.js',
    edits: [['int3Exempt && i === 0 &&', 'int3Exempt &&']],
    test: { file: 'test/sim/fetch.test.ts', name: 'F4 exempts int3' },
  },
  {
    name: 'a site that was to be switched without a trap is told as parked',
    file: 'dist/machine/transact.js',
    edits: [['protocol.handler !== null && isTrapped(others)', 'protocol.handler !== null']],
    test: { file: 'test/process/injected.long.ts', name: "'auto', 'procmem'" },
    long: true,
  },
  {
    name: 'the way back behind a trap has no synchronisation',
    file: 'dist/machine/transact.js',
    edits: [
      [
        "why: 'hidden behind the trap',\n    },\n    SYNC,",
        "why: 'hidden behind the trap',\n    },",
      ],
    ],
    test: { file: 'test/machine/back.test.ts', name: 'behind a trap' },
  },
  {
    name: 'the way back by one store has no synchronisation',
    file: 'dist/machine/transact.js',
    edits: [['machine.run([steps.find(isStore), SYNC]', 'machine.run([steps.find(isStore)]']],
    test: { file: 'test/machine/back.test.ts', name: 'by one store' },
  },
  {
    name: 'a copy that cannot be had is taken for one',
    file: 'dist/native/fork.js',
    edits: [["['js', 'copies next'],", '']],
    test: { file: 'test/process/lives.test.ts', name: 'leaves no copy of a text behind' },
    long: true,
  },
  {
    name: 'fork does not count itself off the waiters',
    file: 'dist/native/fork.js',
    edits: [["['lock', 'dec', mem32('rbx', DATA.waiters)],", '']],
    test: { file: 'test/process/lives.test.ts', name: 'waits until the update is over' },
  },
  {
    name: 'fork does not look at the lock',
    file: 'dist/native/fork.js',
    edits: [["['cmp', 'eax', 'r13d'],\n    ['je', 'copy'],", "['jmp', 'copy'],"]],
    test: { file: 'test/process/lives.test.ts', name: 'waits until the update is over' },
  },
  {
    name: 'the child keeps requests of its parent',
    file: 'dist/native/fork.js',
    edits: [["['mov', mem('rbx', DATA.requests), 'rax'],", '']],
    test: { file: 'test/process/lives.test.ts', name: 'leaves the child no request' },
    long: true,
  },
  {
    name: 'the child keeps the descriptor of its parent memory',
    file: 'dist/native/fork.js',
    edits: [["['mov', 'eax', SYS.close],\n    ['syscall'],", '']],
    test: { file: 'test/process/inherit.test.ts', name: 'veneers included (procmem)' },
  },
  {
    name: 'the parent keeps its copies of texts',
    file: 'dist/native/fork.js',
    edits: [["['mov', 'eax', SYS.munmap],\n        ['syscall'],", '']],
    test: { file: 'test/process/lives.test.ts', name: 'leaves no copy of a text behind' },
    long: true,
  },
  {
    name: 'the parent keeps the copy of the text that it made for its child',
    file: 'dist/native/fork.js',
    edits: [["['mov', 'eax', SYS.munmap],\n        ['syscall'],", '']],
    test: { file: 'test/process/inherit.test.ts', name: 'leaves no copy of the text' },
  },
  {
    name: 'a caller returns after a wake-up for nothing',
    file: 'dist/native/request.js',
    edits: [
      [
        "['jne', 'wait'],\n    ['mov', 'eax', STATE.waiting],",
        "['jne', 'answered'],\n    ['mov', 'eax', STATE.waiting],",
      ],
    ],
    test: { file: 'test/process/lives.test.ts', name: 'and not before it is done' },
    long: true,
  },
  {
    name: 'a request that loses the race for the list is lost',
    file: 'dist/native/request.js',
    edits: [
      [
        "['lock', 'cmpxchg', mem('r8', DATA.requests), 'rcx'],\n    ['jne', 'push'],",
        "['lock', 'cmpxchg', mem('r8', DATA.requests), 'rcx'],",
      ],
    ],
    test: {
      file: 'test/process/lives.test.ts',
      name: 'when another request comes between its look at the list',
    },
    long: true,
  },
  {
    name: 'a server that ends keeps the requests that it took',
    file: 'dist/native/request.js',
    edits: [
      [
        "label('back'),\n    ['mov', 'rcx', mem('r9', SERVER.taken)],\n    ['test', 'rcx', 'rcx'],\n    ['je', 'empty'],",
        "label('back'),\n    ['jmp', 'empty'],",
      ],
    ],
    test: { file: 'test/process/lives.test.ts', name: 'while one of two servers has requests' },
    long: true,
    hang: true,
  },
  {
    name: 'a server that updates from a signal handler waits for itself',
    file: 'dist/native/request.js',
    edits: [["['cmp', mem32('rcx', SERVER.thread), 'eax'],\n    ['je', 'itself'],", '']],
    test: { file: 'test/process/lives.test.ts', name: 'when a signal handler asks' },
    hang: true,
  },
  {
    name: 'a thread that ends keeps the lock',
    file: 'dist/native/request.js',
    edits: [["['jne', 'not held'],", "['jmp', 'not held'],"]],
    test: { file: 'test/process/lifestorm.test.ts', name: 'workers die wherever they are' },
    hang: true,
  },
  {
    name: 'a thread that holds the lock waits for itself',
    file: 'dist/native/request.js',
    edits: [["['cmp', mem32('r8', DATA.lock), 'eax'],\n    ['je', 'itself'],", '']],
    test: { file: 'test/process/lives.test.ts', name: 'when a signal handler asks' },
    hang: true,
  },
  {
    name: 'the last server leaves requests unanswered',
    file: 'dist/native/request.js',
    edits: [["['je', 'drain'],\n    ['jmp', 'ring'],", "['jmp', 'ring'],"]],
    test: { file: 'test/process/lives.test.ts', name: 'while its server has requests' },
    long: true,
    hang: true,
  },
  {
    name: 'the counter of traps is not locked',
    file: 'dist/native/sigtrap.js',
    edits: [["['lock', 'inc', mem('rdi', RECORD.traps)],", "['inc', mem('rdi', RECORD.traps)],"]],
    test: { file: 'test/process/handler.test.ts', name: 'counts in memory by locked instructions' },
  },
  {
    name: 'the handler takes a condition for one of eight',
    file: 'dist/native/sigtrap.js',
    edits: [["['and', 'ecx', 15]", "['and', 'ecx', 7]"]],
    test: { file: 'test/process/silicon.test.ts', name: 'all sixteen conditions' },
  },
  {
    name: 'the store of a rest ends after five bytes',
    file: 'dist/native/stores.js',
    edits: [
      [
        "['sub', 'ebp', SHORTEST_SITE],\n    ['je', `${name}-next`],",
        "['sub', 'ebp', SHORTEST_SITE],\n    ['jmp', `${name}-next`],",
      ],
    ],
    test: { file: 'test/process/shipped.test.ts', name: 'int3 at a site jcc' },
  },
  {
    name: 'a step may be tried again from itself',
    file: 'dist/plan/validate.js',
    edits: [['to >= i', 'to > i']],
    test: { file: 'test/plan/validate.test.ts' },
  },
  {
    name: 'an instruction that ends elsewhere is a site',
    file: 'dist/sites/confirm.js',
    edits: [['if (at + length !== displacement + 4)', 'if (false)']],
    test: { file: 'test/sites/confirm.test.ts', name: 'are no call' },
  },
  {
    name: 'the condition of a prefixed jcc is masked by 7',
    file: 'dist/sites/confirm.js',
    edits: [['code.bytes[displacement - 1] & 15', 'code.bytes[displacement - 1] & 7']],
    test: { file: 'test/sites/confirm.test.ts', name: 'keeps its condition: 15' },
  },
  {
    name: 'a table is believed to list every site',
    file: 'dist/sites/find.js',
    edits: [
      [
        'return listed.length === 0 ? [...unlisted] : listed.concat(unlisted);',
        'return listed.length === 0 ? [...unlisted] : [...listed];',
      ],
    ],
    test: { file: 'test/sites/table.test.ts', name: 'relocatable: an entry that names' },
  },
  {
    name: 'an entry may lead anywhere',
    file: 'dist/sites/linked.js',
    edits: [['if (led?.key !== key.key && leads.knows(key.key))', 'if (false)']],
    test: { file: 'test/inspect/kinds.test.ts', name: 'whose code was moved by another tool' },
  },
  {
    name: 'the section headers of a stripped file are not missed',
    file: 'dist/sites/readable.js',
    edits: [['if (object.sections.length === 0)', 'if (false)']],
    test: { file: 'test/inspect/kinds.test.ts', name: 'whose section headers were stripped' },
  },
  {
    name: 'two trampolines of one name are one key',
    file: 'dist/sites/symbols.js',
    edits: [['if (known !== undefined && known !== at)', 'if (false)']],
    test: { file: 'test/cside/names.test.ts', name: 'two keys of one name' },
  },
  {
    name: 'a site lies where its protocol takes none',
    file: 'dist/zoo/place.js',
    edits: [['takes(accepts, extent, offset) && isPlaced', 'isPlaced']],
    test: { file: 'test/check/alone.test.ts', name: 'where its accepts says' },
  },
  {
    name: 'a key belongs to the C++ module that defines it',
    file: 'include/static_call.h',
    edits: [
      [
        '#define __STATIC_CALL_C_LINKAGE(...) extern "C" { __VA_ARGS__ }',
        '#define __STATIC_CALL_C_LINKAGE(...) __VA_ARGS__',
      ],
    ],
    test: { file: 'test/cside/header.test.ts', name: 'may be a C++20 module' },
  },
  {
    name: 'a type of pointers to functions passes for a type of functions',
    file: 'include/static_call.h',
    edits: [
      [
        '(__extension__ __builtin_types_compatible_p(__typeof__(symbol), __typeof__(*symbol)))',
        '(1)',
      ],
    ],
    test: {
      file: 'test/cside/header.test.ts',
      name: 'with gcc a key whose functions are given by a type of pointers',
    },
  },
  {
    name: 'names of functions are recorded before they are expanded',
    file: 'include/static_call.h',
    edits: [
      [
        '#define DEFINE_STATIC_CALL(name, function) __STATIC_CALL_DEFINE_FUNCTION(name, function)\n#define __STATIC_CALL_DEFINE_FUNCTION(name, function) ',
        '#define DEFINE_STATIC_CALL(name, function) ',
      ],
    ],
    test: { file: 'test/cside/header.test.ts', name: 'finds the names that its macros made' },
  },
  {
    name: 'what the macros make is warned of',
    file: 'include/static_call.h',
    edits: [['#pragma GCC system_header\n', '']],
    test: { file: 'test/cside/header.test.ts', name: 'passes its warnings in C: gcc -std=c90' },
  },
  {
    name: 'a descriptor that the program closed is taken for its memory',
    file: 'include/static_call_runtime.c',
    edits: [['known >= 0 && sc_is_own_memory(known)', 'known >= 0']],
    test: { file: 'test/runtime/own.test.ts', name: 'closed: it writes into no file' },
  },
  {
    name: 'a site that one byte switches waits for blocked signals',
    file: 'include/static_call_runtime.c',
    edits: [['(batch.ways & SC_WAY_TRAP) != 0 ? sc_check_process() : 0', 'sc_check_process()']],
    test: { file: 'test/runtime/own.test.ts', name: 'unhurt: it switches a hook' },
  },
  {
    name: 'a synchronisation is left out where no site goes a way of its own',
    file: 'include/static_call_runtime.c',
    edits: [['return step->ways == 0 || (step->ways', 'return (step->ways']],
    test: { file: 'test/process/shipped.test.ts', name: 'takes the steps that were explored' },
  },
  {
    name: 'a thread that blocks SIGTRAP is no reason to refuse',
    file: 'include/static_call_runtime.c',
    edits: [['return look.count > 0 || look.shadow_stack', 'return look.shadow_stack']],
    test: { file: 'test/runtime/own.test.ts', name: 'blocked: it answers EBUSY' },
  },
  {
    name: 'the old words are published behind the old bytes',
    file: 'include/static_call_runtime.c',
    edits: [
      [
        '\tsc_publish_words(batch, true);\n\tfor (s = 0; s < SC_BACK_COUNT && failed == 0; s++)\n\t\tfailed = sc_perform(batch, &sc_back[s], SC_NOT_OLD);',
        '\tfor (s = 0; s < SC_BACK_COUNT && failed == 0; s++)\n\t\tfailed = sc_perform(batch, &sc_back[s], SC_NOT_OLD);\n\tsc_publish_words(batch, true);',
      ],
    ],
    test: { file: 'test/process/shipped.test.ts', name: 'goes back by the old words first' },
    long: true,
  },
  {
    name: 'the old words stay unpublished on the way back',
    file: 'include/static_call_runtime.c',
    edits: [['\tsc_publish_words(batch, true);\n', '']],
    test: { file: 'test/runtime/own.test.ts', name: 'is all old, all new or parked' },
    long: true,
  },
  {
    name: 'what an update wrote is not known to the next',
    file: 'include/static_call_runtime.c',
    edits: [
      ['memcpy(columns->old[i], columns->new[i], columns->length[i]);\n\treturn 0;', 'return 0;'],
    ],
    test: { file: 'test/runtime/own.test.ts', name: 'update: it retargets' },
  },
];
