import type { Logger } from '@checkpoint-engine/interface';
import { createEngineClient, type EngineClient, type EngineEndpoint } from '@checkpoint-engine/ps';
import type { EngineTargets } from '../config/requests.ts';

/** The host in HTTP requests when only the path of a socket is given. */
const LOCAL_URL = 'http://localhost';

/** Returns the address of an inference group's engine. A single address is for all groups. */
export function engineEndpoint({ endpoints, uds }: EngineTargets, groupIndex: number): EngineEndpoint {
  return {
    url: endpoints[groupIndex] ?? endpoints[0] ?? LOCAL_URL,
    uds: uds[groupIndex] ?? uds[0],
  };
}

/** The client of a group's engine. */
export function engineClient(
  targets: EngineTargets,
  groupIndex: number,
  options: { readonly apiKey?: string | undefined; readonly logger: Logger },
): EngineClient {
  return createEngineClient(targets.engine, {
    endpoints: [engineEndpoint(targets, groupIndex)],
    updatePath: targets.updatePath,
    pause: targets.pause,
    flushCache: targets.flushCache,
    ...options,
  });
}

/** The engine of an inference group, described by the path of its socket or its URL. */
export function engineName(targets: EngineTargets, groupIndex: number): string {
  const { url, uds } = engineEndpoint(targets, groupIndex);
  return uds ?? url;
}
