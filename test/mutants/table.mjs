// Mistakes that the tests must notice: one row each, alphabetical by file and then by name, so that
// rows which are added at once do not meet. `npm run mutants` judges all of them, and `npm run
// mutants -- WORD` those whose name or file has the word. test/mutants/run.mjs says what a field
// means. A row belongs to a step of a protocol, a condition or a bound whose absence no other test
// would show at once.

/** @type {import('./run.mjs').Mutant[]} */
export const MUTANTS = [
  {
    name: 'return 0 is taken though it was not declared',
    file: 'dist/app/target.js',
    edits: [['if (!def.mayReturn0)', 'if (false)']],
    test: { file: 'test/app/target.test.ts', name: 'that the C side did not declare' },
  },
  {
    name: 'a declaration that the type contradicts is believed',
    file: 'dist/keys/bind.js',
    edits: [['returns !== PERMITTED_TYPE[permit]', 'false']],
    test: { file: 'test/cside/keys.test.ts', name: 'a key that may be empty, though' },
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
];
