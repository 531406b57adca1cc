import type { EngineUpdate } from './engine-client.ts';

/** The version that an engine holds after an update. It may be known only when all workers hold the weights. */
export type NewVersion = string | Promise<string>;

/** The version of an update; undefined if the engine keeps its weights. */
export function newVersion({ weightVersion, settledVersion }: EngineUpdate): NewVersion | undefined {
  return weightVersion ?? settledVersion;
}

/** A body with a version: at once if the version is known. */
export function withVersion(version: NewVersion, body: (settled: string) => object): object | Promise<object> {
  return typeof version === 'string' ? body(version) : version.then(body);
}
