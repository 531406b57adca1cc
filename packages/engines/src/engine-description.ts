import { type ModuleReport, moduleReport, readNeedsSummary, shownText } from '@checkpoint-engine/interface';

/** What one worker of an engine holds, and what it decided for its modules. Plain data. */
export interface WorkerDescription {
  /** UUID of its device, where it tells one. */
  readonly device?: string | undefined;
  /** State of its weights: `initial`, `loaded`, `updating`, `unknown`. */
  readonly weights?: string | undefined;
  /** The checkpoint that is loaded. */
  readonly checkpoint?: string | undefined;
  /**
   * `never`: it takes buckets only. `unrecorded`: it records what it keeps in its next update. `unproved`: it has
   * recorded that, and compares it after its next update. `pulls`: parts of its model are pulled. `untold`: it does not say.
   */
  readonly pull: 'never' | 'unrecorded' | 'unproved' | 'pulls' | 'untold';
  /** One line about the engine. */
  readonly engine?: string | undefined;
  /** Present once recorded. */
  readonly modules?: ModuleReport | undefined;
}

/** What an engine's receiver says of itself. Plain data. */
export interface EngineDescription {
  /** Package and release of the receiver. Absent where the engine has no receiver of this project. */
  readonly receiver?: string | undefined;
  /** How the engine takes weights. */
  readonly way: string;
  /** What to do so that the engine pulls, or tells more. Absent where all is well. */
  readonly hint?: string | undefined;
  readonly workers: readonly WorkerDescription[];
}

/** Most characters of a text that an engine tells. */
const LONGEST_TEXT = 200;

/** Reads what a worker tells of itself. What is of an unexpected type counts as absent. */
export function readWorkerDescription(value: unknown): WorkerDescription {
  const { device, weights, checkpoint, pull } = fieldsOf(value);
  const { engine, recorded, proved, summary } = fieldsOf(pull);
  const read = readNeedsSummary(summary);
  const decided = proved === true ? 'pulls' : recorded === true ? 'unproved' : 'unrecorded';
  return {
    ...{ device: textOf(device), weights: textOf(weights), checkpoint: textOf(checkpoint), engine: textOf(engine) },
    pull: pull === undefined ? 'untold' : pull === null ? 'never' : decided,
    modules: read && moduleReport(read),
  };
}

/** Package and release in one text. */
export function receiverName(value: unknown): string {
  const { package: name, version } = fieldsOf(value);
  return [textOf(name) ?? 'a receiver', textOf(version)].filter(Boolean).join(' ');
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? shownText(value, LONGEST_TEXT) : undefined;
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
