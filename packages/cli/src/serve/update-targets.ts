import type { NamedEngine, UpdateRequest } from '@checkpoint-engine/http';
import { configError } from '../config/config-error.ts';
import type { EngineTargets, NamedTarget } from '../config/requests.ts';
import { engineName } from '../rank/engine-client.ts';

/** The engines that the server's flags select. */
export type DefaultTargets = Pick<EngineTargets, 'engine' | 'pause' | 'flushCache'> & {
  readonly targets?: EngineTargets | undefined;
};

/** Default paths of update requests. The part of a URL before such a path is the address of the engine. */
const OWN_PATH = /\/(collective_rpc|update_weights_from_ipc|update)\/?$/;

/**
 * Returns the engine of an update's `updateUrl`, which spans all ranks that receive, or the engines of the server's
 * flags.
 *
 * @throws `CE_CONFIG_INVALID`
 */
export function updateTargets(
  request: UpdateRequest,
  defaults: DefaultTargets,
  worldSize: number,
  deviceOf: (rank: number) => string,
): EngineTargets {
  const { ranks } = request;
  const unknownRank = [...ranks, ...request.inferenceGroupRanks].find((rank) => rank >= worldSize);
  if (unknownRank !== undefined) {
    throw configError(
      `The update has rank ${unknownRank}, but this world has ranks 0 to ${worldSize - 1}`,
      'Use ranks of this world, or none for all ranks',
    );
  }
  if (request.engines) return namedTargets(request.engines, defaults, deviceOf);
  const targets = targetsOf(request, defaults, worldSize);
  if (targets.parallelSize !== undefined) checkWholeEngines(ranks, targets.parallelSize, worldSize);
  return targets;
}

function targetsOf(request: UpdateRequest, defaults: DefaultTargets, worldSize: number): EngineTargets {
  const { updateUrl, uds, inferenceGroupRanks: group, ranks } = request;
  if (updateUrl === undefined && uds === undefined) {
    if (defaults.targets) return defaults.targets;
    throw configError(
      'The update has no update_url, and the server was started without --endpoint or --engine-uds',
      'Send the update_url of the engine, or start the server with --endpoint',
    );
  }
  const all = Array.from({ length: worldSize }, (_, rank) => rank);
  const receiving = ascending(ranks.length > 0 ? ranks : all);
  if (group.length > 0 && ascending(group) !== receiving) {
    throw configError(
      `inference_group_ranks is [${ascending(group)}], but the ranks that receive are [${receiving}]`,
      'Send the same ranks in both fields, or start the server with one --endpoint for each engine',
    );
  }
  const { engine, pause, flushCache } = defaults;
  const about = {
    engine,
    pause,
    flushCache,
    uds: uds === undefined ? [] : [uds],
    isFromClient: isFromClient(request, defaults),
  };
  return { ...about, ...(updateUrl === undefined ? { endpoints: [] } : placeOf(updateUrl)) };
}

/** Engines from the requests to single ranks, each with the devices of its ranks. */
function namedTargets(
  engines: readonly NamedEngine[],
  defaults: DefaultTargets,
  deviceOf: (rank: number) => string,
): EngineTargets {
  const { engine, pause, flushCache } = defaults;
  const named = engines.map((one): NamedTarget => {
    const { updateUrl, uds, ranks, timeoutMs } = one;
    return {
      ...placeOf(updateUrl),
      uds: uds === undefined ? [] : [uds],
      isFromClient: isFromClient(one, defaults),
      deviceUuids: ranks.map(deviceOf),
      timeoutMs,
    };
  });
  return { engine, pause, flushCache, endpoints: [], uds: [], named };
}

/** The address of an engine, and the path of its update route. */
function placeOf(updateUrl: string): Pick<EngineTargets, 'endpoints' | 'updatePath'> {
  const { origin, pathname, search } = new URL(updateUrl);
  if (search === '' && OWN_PATH.test(pathname)) {
    const path = OWN_PATH.exec(pathname)![0];
    const before = pathname.slice(0, -path.length);
    return { endpoints: [origin + before], updatePath: path.replace(/\/$/, '') };
  }
  return { endpoints: [origin], updatePath: pathname + search };
}

/** The engines that these ranks update, each with the rank that sends its requests. */
export function endpointsOf(
  targets: EngineTargets | undefined,
  ranks: readonly number[],
): { readonly groupIndex: number; readonly rank: number; readonly endpoint: string }[] {
  if (targets === undefined) return [];
  const { parallelSize = Number.POSITIVE_INFINITY, named } = targets;
  if (named !== undefined) {
    const rank = Math.min(...ranks);
    return named.map((one, groupIndex) => ({ groupIndex, rank, endpoint: engineName({ ...targets, ...one }, 0) }));
  }
  const heads = new Map<number, number>();
  for (const rank of ranks) {
    const groupIndex = Math.floor(rank / parallelSize);
    heads.set(groupIndex, Math.min(rank, heads.get(groupIndex) ?? rank));
  }
  return [...heads].map(([groupIndex, rank]) => ({ groupIndex, rank, endpoint: engineName(targets, groupIndex) }));
}

/** Checks that the ranks are all ranks of their engines. */
function checkWholeEngines(ranks: readonly number[], parallelSize: number, worldSize: number): void {
  const engineOf = (rank: number): number => Math.floor(rank / parallelSize);
  const all = Array.from({ length: worldSize }, (_, rank) => rank);
  const absent = all.find((rank) => !ranks.includes(rank) && ranks.some((other) => engineOf(other) === engineOf(rank)));
  if (absent === undefined) return;
  throw configError(
    `ranks [${ranks.join(', ')}] leaves out rank ${absent}, whose engine spans ${parallelSize} ranks`,
    'Include all ranks of an engine or none of them; --inference-parallel-size of the server is the number of ranks per engine',
  );
}

/** Whether the address of an update's engine comes from the client only, and not from the server's flags. */
function isFromClient(
  { updateUrl, uds }: Pick<UpdateRequest, 'updateUrl' | 'uds'>,
  { targets }: DefaultTargets,
): boolean {
  // If there is a socket, the connection goes there.
  if (uds !== undefined) return targets?.uds.includes(uds) !== true;
  const { origin } = new URL(updateUrl!);
  return targets?.endpoints.some((endpoint) => new URL(endpoint).origin === origin) !== true;
}

function ascending(ranks: readonly number[]): string {
  return [...new Set(ranks)].sort((a, b) => a - b).join(', ');
}
