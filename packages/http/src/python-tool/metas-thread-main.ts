// A thread that converts metas between the JSON of the Python tool and the codec of this project: see metas-thread.ts.
import { parentPort } from 'node:worker_threads';
import { toCheckpointEngineError } from '@checkpoint-engine/interface';
import { BodyError, parseText } from './bodies.ts';
import { metasBody, metasFromJson, metasToJson, type NamedMetas } from './metas-json.ts';
import { type Conversion, type Converted, movable } from './metas-thread.ts';

const CONVERSIONS = {
  toJson: (bytes: Uint8Array): Uint8Array => new TextEncoder().encode(JSON.stringify(metasToJson(bytes))),
  fromJson: (bytes: Uint8Array): NamedMetas => metasFromJson(parseText(new TextDecoder().decode(bytes), metasBody)),
};

parentPort!.on('message', ({ id, what, bytes }: Conversion) => {
  const converted = convert(what, bytes);
  parentPort!.postMessage({ id, ...converted } satisfies Converted, movedIn(converted));
});

function convert(what: Conversion['what'], bytes: Uint8Array): Omit<Converted, 'id'> {
  try {
    return { value: CONVERSIONS[what](bytes) };
  } catch (thrown) {
    if (thrown instanceof BodyError) return { issues: thrown.issues };
    return { error: toCheckpointEngineError(thrown).toJSON() };
  }
}

function movedIn({ value }: Omit<Converted, 'id'>): readonly ArrayBuffer[] {
  if (value === undefined) return [];
  return movable((value instanceof Uint8Array ? value : value.encoded) as Uint8Array<ArrayBuffer>);
}
