// Mistakes that the tests must notice: one row each, alphabetical by file and then by name, so that
// rows which are added at once do not meet. `npm run mutants` judges all of them, and `npm run
// mutants -- WORD` those whose name or file has the word. test/mutants/run.mjs says what a field
// means. A row belongs to a step of a protocol, a condition or a bound whose absence no other test
// would show at once.

/** @type {import('./run.mjs').Mutant[]} */
export const MUTANTS = [
  {
    name: "a record's version is not looked at",
    file: 'dist/keys/records.js',
    edits: [['if (version !== VERSION)', 'if (false)']],
    test: { file: 'test/cside/keys.test.ts', name: 'of another version' },
  },
];
