import { isIPv6 } from 'node:net';

/** `tcp://host:port` as ZeroMQ takes it; port 0 means any free one. */
export const tcpAddress = (host: string, port: number): string =>
  `tcp://${isIPv6(host) ? `[${host}]` : host}:${port === 0 ? '*' : port}`;

/** Takes `host:port`, with or without `tcp://`. @throws {TypeError} It is neither. */
export function normalizeAddress(address: string): string {
  const bare = address.replace(/^tcp:\/\//, '');
  if (!/^.+:\d+$/.test(bare)) throw new TypeError(`The store's address must be host:port, not "${address}"`);
  return `tcp://${bare}`;
}

/** The port of an address. */
export const portOf = (address: string): number => Number(address.slice(address.lastIndexOf(':') + 1));

/** The host of an address, without the brackets of IPv6. */
export const hostOf = (address: string): string =>
  address.slice(address.indexOf('://') + 3, address.lastIndexOf(':')).replace(/^\[(.*)\]$/, '$1');
