import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { nowMs } from '@checkpoint-engine/interface/shared';
import {
  type ChoiceRequest,
  type EngineClient,
  type EngineRequest,
  v1Protocol,
  v2Protocol,
  type WorkerChoice,
} from '@checkpoint-engine/ps';
import type { EngineTargets, NamedTarget } from '../config/requests.ts';
import { engineClient, engineName } from './engine-client.ts';
import { type EngineOptions, forgetVersions } from './engine-options.ts';
import type { RankContext } from './rank-context.ts';

/**
 * The communication of an update with engines from client requests: all ranks that receive are one group, and its first
 * rank sends every engine the addresses of that engine's ranks. As in the Python tool, engines are not checked before.
 */
export function namedEngineOptions(
  context: RankContext,
  targets: EngineTargets,
  named: readonly NamedTarget[],
): EngineOptions {
  const { rank, secrets, logger, signal, onEvent } = context;
  const engines = named.map((target): { target: NamedTarget; client: EngineClient; endpoint: string } => {
    const one: EngineTargets = { ...targets, ...target };
    const apiKey = target.isFromClient === true ? undefined : secrets.apiKey;
    return { target, client: engineClient(one, 0, { apiKey, logger }), endpoint: engineName(one, 0) };
  });
  const clients = engines.map(({ client }) => client);
  const [first] = clients;
  const asked = new Set<EngineClient>();
  return {
    requestEngine: async ({ groupIndex: _, handles, timeoutMs, ...request }: EngineRequest): Promise<void> => {
      const ask = async ({ target, client, endpoint }: (typeof engines)[number], groupIndex: number) => {
        const about = { type: 'engine', rank, groupIndex, endpoint } as const;
        asked.add(client);
        onEvent({ ...about, state: 'asked', atMs: nowMs() });
        await client.update({
          ...request,
          handles: handlesOf(target, handles),
          timeoutMs: Math.min(timeoutMs, target.timeoutMs),
        });
        onEvent({ ...about, state: 'acknowledged', atMs: nowMs() });
      };
      await Promise.all(engines.map(ask));
    },
    protocol: first?.workers === 'v2' ? v2Protocol() : v1Protocol(),
    passes: first?.passes,
    chooseWorkers: first?.choose && ((wait: ChoiceRequest) => chooseForAll(clients, wait)),
    inferenceParallelSize: undefined,
    signal,
    onEvent,
    forgetVersions: () => forgetVersions(asked),
  };
}

function handlesOf({ deviceUuids }: NamedTarget, handles: Readonly<Record<string, string>>): Record<string, string> {
  const wanted = deviceUuids.length > 0 ? deviceUuids : Object.keys(handles);
  return Object.fromEntries(wanted.map((uuid) => [uuid, handles[uuid]!]));
}

/** Returns the protocol, which must be the same for all workers of an update. @throws `CE_ENGINE_MISMATCH` */
async function chooseForAll(clients: readonly EngineClient[], wait: ChoiceRequest): Promise<WorkerChoice> {
  const choices = await Promise.all(clients.map(async (client) => await client.choose!(wait)));
  const protocols = new Set(choices.map(({ workers }) => workers));
  if (protocols.size > 1) {
    throw new CheckpointEngineError(
      'CE_ENGINE_MISMATCH',
      `The workers of ${clients.length} engines use protocols ${[...protocols].join(' and ')}, but an update needs a single protocol`,
      'Start all engines with the same worker extension, or update them one after another with "ranks"',
    );
  }
  return { workers: choices[0]!.workers, passes: choices.every(({ passes }) => passes === 'any') ? 'any' : 'one' };
}
