import { describe, expect, it } from 'vitest';
import { engineEndpoint } from './engine-client.ts';

const targets = (endpoints: string[], uds: string[]) => ({ engine: 'vllm', parallelSize: 1, endpoints, uds }) as const;

describe('engineEndpoint', () => {
  it('is the same for all groups where it is given once', () =>
    expect(engineEndpoint(targets(['http://a'], []), 3)).toEqual({ url: 'http://a', uds: undefined }));

  it('is that of the group where there is one for each', () =>
    expect(engineEndpoint(targets(['http://a', 'http://b'], ['/a', '/b']), 1)).toEqual({ url: 'http://b', uds: '/b' }));

  it('needs no URL beside a socket', () =>
    expect(engineEndpoint(targets([], ['/a']), 0)).toEqual({ url: 'http://localhost', uds: '/a' }));
});
