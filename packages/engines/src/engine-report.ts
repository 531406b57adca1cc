import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { EngineUpdate } from './engine-client.ts';

/** The description of one server by itself. A field is missing if the server does not report it. */
export interface EngineReport {
  /** The server's address for messages. */
  readonly address: string;
  /** Whether it can receive now; `message` says why not. */
  readonly isReady?: boolean | undefined;
  readonly message?: string | undefined;
  /** Devices of its workers, in rank order. */
  readonly deviceUuids?: readonly string[] | undefined;
  /** Workers of the complete engine, including other servers of the instance if the engine counts them. */
  readonly workerCount?: number | undefined;
  /** Workers of one replica: the tensor times the pipeline parallel size. */
  readonly replicaSize?: number | undefined;
  readonly isSleeping?: boolean | undefined;
  /** Whether the engine reports that it sleeps, although its weights may be awake. */
  readonly maySleep?: boolean | undefined;
  /** The parts whose memory it has released. */
  readonly sleepingTags?: readonly string[] | undefined;
}

/** Checks that the update has an address for each of the engine's workers. @throws `CE_ENGINE_MISMATCH` */
export function checkTopology(name: string, reports: readonly EngineReport[], update: EngineUpdate): void {
  checkDevices(name, reports, update);
  checkWorkerCount(name, reports, update);
  checkSleep(name, reports);
}

/** Checks that every server can receive now. @throws `CE_ENGINE_FAILED` with the server's message */
export function checkReady(name: string, reports: readonly EngineReport[], hint: string): void {
  const blocked = reports.find(({ isReady }) => isReady === false);
  if (blocked === undefined) return;
  const { address, message = 'it gives no reason' } = blocked;
  throw new CheckpointEngineError(
    'CE_ENGINE_FAILED',
    `${name} at ${address} is not ready to receive: ${message}`,
    hint,
    { peer: address, detail: message },
  );
}

/** The addresses of one server's workers, in rank order; all addresses if the server does not report its devices. */
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
 * An update for more devices than workers would wait for workers that never come; in one for fewer, workers find no
 * address. A part of the replicas is valid: servers of a data-parallel engine may count all of it.
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

/** The servers of an instance share collectives, so they must be in the same state. */
function checkSleep(name: string, reports: readonly EngineReport[]): void {
  const asleep = reports.filter(({ isSleeping }) => isSleeping);
  if (asleep.length === 0 || asleep.length === reports.length) return;
  throw new CheckpointEngineError(
    'CE_ENGINE_MISMATCH',
    `Only some of the ${name} servers sleep: ${addresses(asleep)}, of ${addresses(reports)}`,
    'Put all servers of the instance to sleep, or wake all of them',
    { peer: addresses(reports) },
  );
}

function mismatch(name: string, reports: readonly EngineReport[], what: string): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_ENGINE_MISMATCH',
    `${name} at ${addresses(reports)} ${what}`,
    'Start one rank per device of the instance, list all its servers, and check the inference parallel size',
    { peer: addresses(reports) },
  );
}

const addresses = (reports: readonly EngineReport[]): string => reports.map(({ address }) => address).join(', ');
