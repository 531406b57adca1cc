import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { parseJson } from './adapter.ts';
import type { EngineEndpoint, EngineUpdate } from './engine-client.ts';

/** What one LMDeploy server says of its receiver. */
export interface LmdeployStatus {
  readonly endpoint: EngineEndpoint;
  readonly isReady: boolean;
  readonly message: string;
  readonly isSleeping: boolean;
  readonly sleepingTags: readonly string[];
  /** In rank order; `undefined` where it does not say. */
  readonly deviceUuids: readonly string[] | undefined;
}

/** Reads the answer to the question for the receiver's state. Fields that are missing count as their empty value. */
export function readStatus(endpoint: EngineEndpoint, text: string): LmdeployStatus {
  const fields = Object(parseJson(text)) as Record<string, unknown>;
  const strings = (value: unknown): string[] | undefined =>
    Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : undefined;
  return {
    endpoint,
    isReady: fields.ready === true,
    message: typeof fields.message === 'string' ? fields.message : 'it does not say why',
    isSleeping: fields.is_sleeping === true,
    sleepingTags: strings(fields.sleeping_tags) ?? [],
    deviceUuids: strings(fields.device_uuids),
  };
}

/** Whether the servers sleep. They share collectives, so they must agree. @throws `CE_ENGINE_MISMATCH` */
export function allSleep(statuses: readonly LmdeployStatus[]): boolean {
  const asleep = statuses.filter(({ isSleeping }) => isSleeping);
  if (asleep.length === 0 || asleep.length === statuses.length) return asleep.length > 0;
  throw new CheckpointEngineError(
    'CE_ENGINE_MISMATCH',
    `Of the lmdeploy servers only some sleep: ${urls(asleep)}, of ${urls(statuses)}`,
    'Put all servers of the instance to sleep, or wake all of them',
    { peer: urls(statuses) },
  );
}

/** Checks that the servers run on exactly the devices of the update. @throws `CE_ENGINE_MISMATCH` listing both */
export function checkDevices(statuses: readonly LmdeployStatus[], { handles }: EngineUpdate): void {
  if (statuses.some(({ deviceUuids }) => deviceUuids === undefined)) return;
  const theirs = statuses.flatMap(({ deviceUuids }) => deviceUuids ?? []);
  const ours = Object.keys(handles);
  if (theirs.length === ours.length && theirs.every((uuid) => Object.hasOwn(handles, uuid))) return;
  throw new CheckpointEngineError(
    'CE_ENGINE_MISMATCH',
    `lmdeploy at ${urls(statuses)} runs on [${theirs.join(', ')}], but the update is for [${ours.join(', ')}]`,
    'Start one rank for each device of the instance, name all its servers, and check the inference parallel size',
    { peer: urls(statuses) },
  );
}

/** Checks that every server can receive now. @throws `CE_ENGINE_FAILED` with what it says */
export function checkReady(statuses: readonly LmdeployStatus[]): void {
  const blocked = statuses.find(({ isReady }) => !isReady);
  if (blocked === undefined) return;
  throw new CheckpointEngineError(
    'CE_ENGINE_FAILED',
    `lmdeploy at ${blocked.endpoint.url} is not ready to receive: ${blocked.message}`,
    'Start it with --backend pytorch --distributed-executor-backend ray, and with checkpoint-engine installed',
    { peer: blocked.endpoint.url, detail: blocked.message },
  );
}

/** The handles of one server's workers, in its rank order. */
export function handlesOf({ deviceUuids }: LmdeployStatus, { handles }: EngineUpdate): Record<string, string> {
  const own = deviceUuids ?? Object.keys(handles);
  return Object.fromEntries(own.map((uuid) => [uuid, handles[uuid]!]));
}

const urls = (statuses: readonly LmdeployStatus[]): string => statuses.map(({ endpoint }) => endpoint.url).join(', ');
