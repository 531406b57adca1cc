import { describe, expect, it } from 'vitest';
import { engineEndpoint } from './engine-client.ts';

const targets = (endpoints: string[], uds: string[]) => ({ engine: 'vllm', parallelSize: 1, endpoints, uds }) as const;

describe('engineEndpoint', () => {
  it('is the same for all groups if there is one', () =>
    expect(engineEndpoint(targets(['http://a'], []), 3)).toEqual({ url: 'http://a', uds: undefined }));

  it('is that of the group if there is one per group', () =>
    expect(engineEndpoint(targets(['http://a', 'http://b'], ['/a', '/b']), 1)).toEqual({ url: 'http://b', uds: '/b' }));

  it('needs no URL in addition to a socket', () =>
    expect(engineEndpoint(targets([], ['/a']), 0)).toEqual({ url: 'http://localhost', uds: '/a' }));
});
