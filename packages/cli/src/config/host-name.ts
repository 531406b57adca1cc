import { isIP } from 'node:net';
import { CheckpointEngineError } from '@checkpoint-engine/interface';

const LABELS = /^[\p{L}\p{N}_](?:[\p{L}\p{N}_.-]*[\p{L}\p{N}_.])?$/u;
const MAX_LENGTH = 253;

/**
 * Checks the form of a host's name or address, so that a value that no resolver knows is rejected before ranks wait
 * for it.
 *
 * @param setting The variable or flag that holds the host.
 * @param portSetting The variable or flag for the port.
 * @returns The host, without the brackets around an IPv6 address.
 * @throws {CheckpointEngineError} `CE_CONFIG_INVALID`
 */
export function checkHost(text: string, setting: string, portSetting: string): string {
  const host = text.replace(/^\[(.*)\]$/, '$1');
  if (isIP(host) || isName(host)) return host;
  const shown = text.length > MAX_LENGTH ? `${text.slice(0, 40)}... (${text.length} characters)` : text;
  throw new CheckpointEngineError(
    'CE_CONFIG_INVALID',
    `${setting} is ${JSON.stringify(shown)}, expected a host name or an IP address, without a scheme, a port or spaces`,
    `Correct ${setting}; the port belongs in ${portSetting}`,
  );
}

/** A name whose last label is a number is an address that is incomplete or out of range, such as `256.1.1.1`. */
function isName(host: string): boolean {
  return host.length <= MAX_LENGTH && LABELS.test(host) && !/(?:^|\.)\d+\.?$/.test(host);
}
