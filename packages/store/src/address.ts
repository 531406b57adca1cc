import { isIPv6 } from 'node:net';

/** Formats `tcp://host:port` for ZeroMQ; port 0 selects any free port. */
export const tcpAddress = (host: string, port: number): string =>
  `tcp://${isIPv6(host) ? `[${host}]` : host}:${port === 0 ? '*' : port}`;

/** Parses `host:port`, with or without `tcp://`. @throws {TypeError} It is neither. */
export function normalizeAddress(address: string): string {
  const bare = address.replace(/^tcp:\/\//, '');
  if (!/^.+:\d+$/.test(bare)) throw new TypeError(`The store's address must be host:port, not "${address}"`);
  return `tcp://${bare}`;
}

/** Returns the port of an address. */
export const portOf = (address: string): number => Number(address.slice(address.lastIndexOf(':') + 1));

/** Returns the host of an address, without the brackets of IPv6. */
export const hostOf = (address: string): string =>
  address.slice(address.indexOf('://') + 3, address.lastIndexOf(':')).replace(/^\[(.*)\]$/, '$1');
