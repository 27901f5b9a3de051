// The schemas that the package ships, held against what the commands print. They let a value have
// more fields than they know, so that a reader survives the next version; the tests do not: an
// object whose fields are listed has no others, unless the schema says that it may.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';

export const FOLDER = 'schemas';

function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed);
  if (typeof schema !== 'object' || schema === null) return schema;
  const inside = Object.fromEntries(
    Object.entries(schema).map(([key, value]) => [key, closed(value)]),
  );
  return 'properties' in inside &&
    !('additionalProperties' in inside) &&
    inside['type'] === 'object'
    ? { ...inside, additionalProperties: false }
    : inside;
}

const ajv = new Ajv2020({ allErrors: true, allowUnionTypes: true });
const known = new Map(
  readdirSync(FOLDER).map((file) => [
    `static-call/${file.replace(/\.json$/, '')}`,
    ajv.compile(closed(JSON.parse(readFileSync(join(FOLDER, file), 'utf8'))) as object),
  ]),
);

export const SCHEMAS: readonly string[] = [...known.keys()];

/** What is wrong with a value of `--json`, by the schema that it names. */
export function complaints(value: unknown): string[] {
  const name = String((value as { schema?: unknown }).schema);
  const validate = known.get(name);
  if (!validate) return [`no schema is named ${name}`];
  validate(value);
  return (validate.errors ?? []).map(
    ({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`,
  );
}
