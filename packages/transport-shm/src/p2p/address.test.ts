import { describe, expect, it } from 'vitest';
import { formatAddress, newAddress, parseAddress } from './address.ts';

describe('address', () => {
  it('survives formatting and parsing', () => {
    const address = newAddress();
    expect(parseAddress(formatAddress(address))).toEqual(address);
  });

  it('differs each time', () => {
    expect(formatAddress(newAddress())).not.toBe(formatAddress(newAddress()));
  });

  it.each(['', 'shm', 'shm:x', 'shm:x:short', '10.0.0.1:1234', `${formatAddress(newAddress())}:more`])(
    'refuses %j, which is not an address',
    (text) => {
      expect(() => parseAddress(text)).toThrow(expect.objectContaining({ code: 'CE_PEER_UNREACHABLE' }));
    },
  );
});
