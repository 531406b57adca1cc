import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { EngineUpdate } from './engine-client.ts';

/** What one server of an engine says of itself. A field is missing where it does not say. */
export interface EngineReport {
  /** The server's address, fit to be shown. */
  readonly address: string;
  /** Whether it can receive as it is; `message` says why not. */
  readonly isReady?: boolean | undefined;
  readonly message?: string | undefined;
  /** Devices of its workers, in rank order. */
  readonly deviceUuids?: readonly string[] | undefined;
  /** Workers of the whole engine, those of other servers of the instance included where it counts them. */
  readonly workerCount?: number | undefined;
  /** Workers of one replica: the tensor times the pipeline parallel size. */
  readonly replicaSize?: number | undefined;
  readonly isSleeping?: boolean | undefined;
  /** It says that it sleeps, although its weights may be awake. */
  readonly maySleep?: boolean | undefined;
  /** What it gave the memory back of. */
  readonly sleepingTags?: readonly string[] | undefined;
}

/** Checks that the engine's workers are those that the update has addresses for. @throws `CE_ENGINE_MISMATCH` */
export function checkTopology(name: string, reports: readonly EngineReport[], update: EngineUpdate): void {
  checkDevices(name, reports, update);
  checkWorkerCount(name, reports, update);
  checkSleep(name, reports);
}

/** Checks that every server can receive now. @throws `CE_ENGINE_FAILED` with what it says */
export function checkReady(name: string, reports: readonly EngineReport[], hint: string): void {
  const blocked = reports.find(({ isReady }) => isReady === false);
  if (blocked === undefined) return;
  const { address, message = 'it does not say why' } = blocked;
  throw new CheckpointEngineError(
    'CE_ENGINE_FAILED',
    `${name} at ${address} is not ready to receive: ${message}`,
    hint,
    { peer: address, detail: message },
  );
}

/** The addresses of one server's workers, in its rank order; all where it does not name its devices. */
export function handlesOf({ deviceUuids }: EngineReport, { handles }: EngineUpdate): Record<string, string> {
  const own = deviceUuids ?? Object.keys(handles);
  return Object.fromEntries(own.map((uuid) => [uuid, handles[uuid]!]));
}

function checkDevices(name: string, reports: readonly EngineReport[], { handles }: EngineUpdate): void {
  if (reports.some(({ deviceUuids }) => deviceUuids === undefined)) return;
  const theirs = reports.flatMap(({ deviceUuids }) => deviceUuids ?? []);
  const ours = Object.keys(handles);
  const differ = theirs.length !== ours.length || !theirs.every((uuid) => Object.hasOwn(handles, uuid));
  if (differ || new Set(theirs).size !== theirs.length) {
    throw mismatch(name, reports, `runs on [${theirs.join(', ')}], but the update is for [${ours.join(', ')}]`);
  }
}

/**
 * An update for more devices than there are workers would wait for workers that never come; in one for fewer, workers
 * find no address. A slice of whole replicas is fine: servers of a data-parallel engine may count all of it.
 */
function checkWorkerCount(name: string, reports: readonly EngineReport[], { handles }: EngineUpdate): void {
  const ours = Object.keys(handles).length;
  const counts = reports.map(({ workerCount = Number.NaN }) => workerCount);
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (Number.isNaN(total) || total === ours) return;
  for (const { workerCount = ours, replicaSize = workerCount } of reports) {
    if (workerCount % ours === 0 && ours % replicaSize === 0) continue;
    const replicas = replicaSize < workerCount ? ` (${workerCount / replicaSize} replicas of ${replicaSize})` : '';
    throw mismatch(name, reports, `has ${workerCount} workers${replicas}, but the update is for ${ours} devices`);
  }
}

/** The servers of an instance share collectives, so they have to be in the same state. */
function checkSleep(name: string, reports: readonly EngineReport[]): void {
  const asleep = reports.filter(({ isSleeping }) => isSleeping);
  if (asleep.length === 0 || asleep.length === reports.length) return;
  throw new CheckpointEngineError(
    'CE_ENGINE_MISMATCH',
    `Of the ${name} servers only some sleep: ${addresses(asleep)}, of ${addresses(reports)}`,
    'Put all servers of the instance to sleep, or wake all of them',
    { peer: addresses(reports) },
  );
}

function mismatch(name: string, reports: readonly EngineReport[], what: string): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_ENGINE_MISMATCH',
    `${name} at ${addresses(reports)} ${what}`,
    'Start one rank for each device of the instance, name all its servers, and check the inference parallel size',
    { peer: addresses(reports) },
  );
}

const addresses = (reports: readonly EngineReport[]): string => reports.map(({ address }) => address).join(', ');
