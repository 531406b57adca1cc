import type { Device } from '@checkpoint-engine/interface';
import { parseWorkerAddress } from './address.ts';
import { RequestProblem } from './http-json.ts';

/** The body of `POST /update`. */
export interface UpdateRequest {
  /** By device of the engine, the address of its parameter server. */
  readonly addresses: ReadonlyMap<Device, string>;
  /** Time-out of the complete update. */
  readonly timeoutMs: number | undefined;
}

/**
 * Checks the body of `POST /update`: exactly the engine's devices must have an address, because an engine that is
 * updated partly serves wrong results.
 *
 * @throws {RequestProblem} 400
 */
export function readUpdateRequest(body: unknown, devices: readonly Device[]): UpdateRequest {
  const { handles, timeoutMs, ...unknown } = isRecord(body) ? body : {};
  if (!isRecord(handles)) throw new RequestProblem(400, 'Expected "handles", an object of device UUID to address');
  if (timeoutMs !== undefined && !(typeof timeoutMs === 'number' && timeoutMs > 0 && timeoutMs < 2 ** 31)) {
    throw new RequestProblem(400, `Expected "timeoutMs" of 1 to 2^31 - 1, got ${JSON.stringify(timeoutMs)}`);
  }
  const [stray] = Object.keys(unknown);
  if (stray !== undefined) throw new RequestProblem(400, `The body has the unknown field "${stray}"`);
  const own = devices.map((device) => `"${device.uuid}"`).join(', ');
  const unknownUuid = Object.keys(handles).find((uuid) => !devices.some((device) => device.uuid === uuid));
  if (unknownUuid !== undefined) {
    throw new RequestProblem(400, `"handles" has device "${unknownUuid}", but this engine has ${own}`);
  }
  const addresses = devices.map((device): [Device, string] => {
    const address = handles[device.uuid];
    if (typeof address !== 'string') throw new RequestProblem(400, `"handles" lacks one of the devices ${own}`);
    try {
      parseWorkerAddress(address);
    } catch (error) {
      throw new RequestProblem(400, (error as Error).message);
    }
    return [device, address];
  });
  return { addresses: new Map(addresses), timeoutMs };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
