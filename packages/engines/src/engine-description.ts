import {
  isWeightVersion,
  type ModuleReport,
  moduleReport,
  readNeedsSummary,
  shownText,
  UNKNOWN_VERSION,
} from '@checkpoint-engine/interface';
import { fieldsOf } from './replies.ts';

/** The weights of one worker of an engine, and how it receives its modules. Plain data. */
export interface WorkerDescription {
  /** UUID of its device, if it reports one. */
  readonly device?: string | undefined;
  /** State of its weights: `initial`, `loaded`, `updating`, `unknown`. */
  readonly weights?: string | undefined;
  /** The checkpoint that is loaded. */
  readonly checkpoint?: string | undefined;
  /** The version of its weights, or `unknown`. Absent if it keeps no version. */
  readonly weightVersion?: string | undefined;
  /**
   * `never`: it receives buckets only. `unrecorded`: it records what it keeps in its next update. `unproved`: it has
   * recorded what it keeps, and compares it after its next update. `pulls`: it pulls parts of its model.
   * `unreported`: its release does not report this.
   */
  readonly pull: 'never' | 'unrecorded' | 'unproved' | 'pulls' | 'unreported';
  /** One line about the engine. */
  readonly engine?: string | undefined;
  /** Present after the first recording. */
  readonly modules?: ModuleReport | undefined;
}

/** The description of an engine's receiver. Plain data. */
export interface EngineDescription {
  /** Package and release of the receiver. Absent where the engine has no receiver of this project. */
  readonly receiver?: string | undefined;
  /** One line: how the engine receives weights. */
  readonly summary: string;
  /** A hint how to make the engine pull, or report more. Absent if nothing is missing. */
  readonly hint?: string | undefined;
  readonly workers: readonly WorkerDescription[];
  /** The version that the engine itself keeps, where its workers cannot be asked. */
  readonly weightVersion?: string | undefined;
}

/** Maximum number of characters of a text from an engine. */
const LONGEST_TEXT = 200;

/** Reads the description of a worker. Fields of an unexpected type count as absent. */
export function readWorkerDescription(value: unknown): WorkerDescription {
  const { device, weights, checkpoint, weightVersion, pull } = fieldsOf(value);
  const { engine, recorded, proved, summary } = fieldsOf(pull);
  const read = readNeedsSummary(summary);
  const decided = proved === true ? 'pulls' : recorded === true ? 'unproved' : 'unrecorded';
  return {
    ...{ device: textOf(device), weights: textOf(weights), checkpoint: textOf(checkpoint), engine: textOf(engine) },
    weightVersion: readVersion(weightVersion),
    pull: pull === undefined ? 'unreported' : pull === null ? 'never' : decided,
    modules: read && moduleReport(read),
  };
}

/** Reads the version that an engine or a worker reports. An invalid version counts as `unknown`. */
export function readVersion(value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined;
  return isWeightVersion(value) ? value : UNKNOWN_VERSION;
}

/**
 * Returns the version of an engine's weights: `unknown` if its workers differ, or hold weights that no update has
 * delivered. Absent if the engine cannot report it.
 */
export function heldVersion({ workers, weightVersion }: EngineDescription): string | undefined {
  const [first] = workers;
  if (first === undefined) return weightVersion;
  if (workers.some((worker) => worker.weightVersion === undefined)) return undefined;
  return workers.every((worker) => worker.weightVersion === first.weightVersion)
    ? first.weightVersion
    : UNKNOWN_VERSION;
}

/** Package and release in one text. */
export function receiverName(value: unknown): string {
  const { package: name, version } = fieldsOf(value);
  return [textOf(name) ?? 'a receiver', textOf(version)].filter(Boolean).join(' ');
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? shownText(value, LONGEST_TEXT) : undefined;
}
