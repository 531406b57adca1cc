import type { NetworkInterfaceInfo } from 'node:os';
import { describe, expect, it } from 'vitest';
import { loopbackAddress } from './loopback.ts';

const address = (family: string, text: string, internal: boolean) =>
  ({ family, address: text, internal }) as NetworkInterfaceInfo;
const v4 = address('IPv4', '127.0.0.1', true);
const v6 = address('IPv6', '::1', true);
const other = address('IPv4', '10.0.0.1', false);

describe('the loopback address', () => {
  it.each([
    ['127.0.0.1', { lo: [v4] }],
    ['127.0.0.1', { lo: [v4, v6] }],
    ['127.0.0.1', { lo: [v6, v4], eth0: [other] }],
    ['::1', { lo: [v6] }],
    ['::1', { lo: [v6], eth0: [other] }],
    ['127.0.0.1', { eth0: [other] }],
    ['127.0.0.1', {}],
  ])('is %s for %j', (expected, interfaces) => {
    expect(loopbackAddress(() => interfaces)).toBe(expected);
  });

  it('is 127.0.0.1 if the interfaces cannot be listed', () => {
    const refuse = () => {
      throw new Error('uv_interface_addresses returned Unknown system error 13');
    };
    expect(loopbackAddress(refuse)).toBe('127.0.0.1');
  });
});
