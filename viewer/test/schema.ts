// The part of JSON Schema that the project's schemas use. An unknown keyword fails.

import { readFileSync } from 'node:fs';

type Schema = Record<string, unknown>;
const silent = new Set([
  '$schema', '$id', '$defs', 'title', 'description', 'examples', 'default', '$comment', 'format',
]);

export function check(folder: string, file: string, value: unknown): string[] {
  const load = (name: string) => JSON.parse(readFileSync(`${folder}/${name}`, 'utf8')) as Schema;
  const walk = (schema: Schema | boolean, at: unknown, path: string, root: Schema): string[] => {
    if (typeof schema === 'boolean') return schema ? [] : [`${path}: not allowed`];
    const faults: string[] = [];
    const fault = (why: string) => faults.push(`${path}: ${why}`);
    const object = typeof at === 'object' && at !== null && !Array.isArray(at) ? (at as Record<string, unknown>) : null;
    for (const [word, asks] of Object.entries(schema)) {
      switch (word) {
        case '$ref': {
          const ref = asks as string;
          if (ref.startsWith('#/')) faults.push(
            ...walk(ref.slice(2).split('/').reduce<Schema>((it, key) => it[key] as Schema, root), at, path, root)
          );
          else {
            const [name, inner] = ref.split('#/');
            const other = load(name!);
            faults.push(
              ...walk(
                inner ? inner.split('/').reduce<Schema>((it, key) => it[key] as Schema, other) : other, at, path, other
              )
            );
          }
          break;
        }
        case 'allOf': for (const one of asks as Schema[]) faults.push(...walk(one, at, path, root)); break;
        case 'anyOf': case 'oneOf':
          if (!(asks as Schema[]).some((one) => walk(one, at, path, root).length === 0)) fault(`fits none of ${word}`);
          break;
        case 'type': {
          const is = at === null ? 'null' : Array.isArray(at) ? 'array' : Number.isInteger(at) ? 'integer' : typeof at;
          if (![asks].flat().some((one) => one === is || (one === 'number' && is === 'integer'))) fault(`is ${is}`);
          break;
        }
        case 'const': if (at !== asks) fault(`is not ${String(asks)}`); break;
        case 'enum': if (!(asks as unknown[]).includes(at)) fault('is none of the choices'); break;
        case 'pattern': if (typeof at === 'string' && !new RegExp(asks as string, 'u').test(at))
          fault(`does not match ${String(asks)}`); break;
        case 'minLength': if (typeof at === 'string' && at.length < (asks as number)) fault('too short'); break;
        case 'maxLength': if (typeof at === 'string' && at.length > (asks as number)) fault('too long'); break;
        case 'minimum': if (typeof at === 'number' && at < (asks as number)) fault('too small'); break;
        case 'maximum': if (typeof at === 'number' && at > (asks as number)) fault('too large'); break;
        case 'minItems': if (Array.isArray(at) && at.length < (asks as number)) fault('too few'); break;
        case 'maxItems': if (Array.isArray(at) && at.length > (asks as number)) fault('too many'); break;
        case 'required': for (const key of asks as string[]) if (object && !(key in object)) fault(`no ${key}`); break;
        case 'items': if (Array.isArray(at))
          at.forEach((one, i) => faults.push(...walk(asks as Schema, one, `${path}/${i}`, root))); break;
        case 'properties':
          for (const [key, one] of Object.entries(asks as Record<string, Schema>))
            if (object && key in object) faults.push(...walk(one, object[key], `${path}/${key}`, root));
          break;
        case 'additionalProperties':
          if (asks === false && object)
            for (const key of Object.keys(object))
              if (!(key in ((schema['properties'] ?? {}) as Schema))) fault(`${key} is unknown`);
          break;
        default: if (!silent.has(word)) fault(`the schema's word ${word} is not understood`);
      }
    }
    return faults;
  };
  const root = load(file);
  return walk(root, value, '', root);
}
