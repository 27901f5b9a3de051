import fc from 'fast-check';
import { parseSync } from 'oxc-parser';
import { expect, it } from 'vitest';
import type { KeyDef } from '#keys/key';
import { typesOf } from '#keys/typescript';

const name = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 8 }),
  fc.constantFrom(
    '',
    'größe',
    '関数',
    '__proto__',
    'constructor',
    'a b',
    "'",
    '\\',
    '\u2028',
    '\ud800',
  ),
  fc.constantFrom(
    "x: 1 }; import 'node:fs'; type Q = { y",
    "'; process.exit(); '",
    '*/ x',
    '`${x}`',
  ),
);

const key = (of: string, targets: readonly string[]): KeyDef => ({
  name: of,
  address: 16,
  trampoline: 8,
  returns: 'other',
  initial: null,
  targets: targets.map((target) => ({ name: target, address: 0, slot: 0 })),
  sites: [],
});

/** The one type that a text declares, as names and literals; throws where there is anything else. */
function declared(text: string): { name: string; literals: string[] }[] {
  const { program, errors } = parseSync('keys.ts', text);
  expect(errors).toEqual([]);
  const [statement, ...more] = program.body;
  if (more.length > 0 || statement?.type !== 'ExportNamedDeclaration') throw new Error(text);
  const { declaration } = statement;
  if (
    declaration?.type !== 'TSTypeAliasDeclaration' ||
    declaration.typeAnnotation.type !== 'TSTypeLiteral'
  )
    throw new Error(text);
  return declaration.typeAnnotation.members.map((member) => {
    if (member.type !== 'TSPropertySignature' || member.computed) throw new Error(text);
    const type = member.typeAnnotation?.typeAnnotation;
    const types = type?.type === 'TSUnionType' ? type.types : [type];
    return {
      name:
        member.key.type === 'Identifier'
          ? member.key.name
          : String((member.key as { value?: unknown }).value),
      literals: types.flatMap((each) =>
        each?.type === 'TSLiteralType' && each.literal.type === 'Literal'
          ? [String(each.literal.value)]
          : [],
      ),
    };
  });
}

it('no name of a key or a target becomes code, and each is read back as it is', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(name, { minLength: 1, maxLength: 4 }),
      fc.uniqueArray(name, { minLength: 1, maxLength: 3 }),
      (names, targets) => {
        const text = typesOf(
          names.map((each) => key(each, targets)),
          'Keys',
        );
        expect(declared(text)).toEqual(names.map((each) => ({ name: each, literals: targets })));
      },
    ),
    { numRuns: 300 },
  );
});

it('a name that a programmer wrote is not quoted', () => {
  expect(typesOf([key('größe', ['a<int>'])], 'Keys')).toContain("readonly größe: 'a<int>';");
});
