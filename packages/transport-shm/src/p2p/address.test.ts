import { describe, expect, it } from 'vitest';
import { formatAddress, newAddress, parseAddress } from './address.ts';

describe('address', () => {
  it('comes back as it was', () => {
    const address = newAddress();
    expect(parseAddress(formatAddress(address))).toEqual(address);
  });

  it('is another one each time', () => {
    expect(formatAddress(newAddress())).not.toBe(formatAddress(newAddress()));
  });

  it.each(['', 'shm', 'shm:x', 'shm:x:short', '10.0.0.1:1234', `${formatAddress(newAddress())}:more`])(
    'refuses %j, which is none',
    (text) => {
      expect(() => parseAddress(text)).toThrow(expect.objectContaining({ code: 'CE_PEER_UNREACHABLE' }));
    },
  );
});
