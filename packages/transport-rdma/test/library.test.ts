import { createHash } from 'node:crypto';
import { mooncakeAvailability } from '@checkpoint-engine/transport-rdma';
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { libraryForTests, mooncakeForTests } from './support/mooncake.ts';
import { pattern } from './support/pattern.mjs';
import { killPeers, Peer } from './support/peer.ts';

const { python, missing } = await mooncakeForTests();
const library = await libraryForTests();
const sizeBytes = 20_000_003;
const digest = createHash('sha256').update(pattern(sizeBytes, 8)).digest('hex');

describe.skipIf(missing ?? library.missing)('over the C API', () => {
  const byModule = { python, protocol: 'tcp' } as const;
  /** Any Python will do. */
  const byLibrary = { protocol: 'tcp' } as const;
  beforeAll(() => {
    for (const [name, value] of Object.entries(library.env)) vi.stubEnv(name, value);
    return () => vi.unstubAllEnvs();
  });
  afterEach(() => killPeers());

  test('is found by its variable', async () => {
    expect(await mooncakeAvailability()).toMatchObject({
      available: true,
      origin: 'library',
      file: library.env.CHECKPOINT_ENGINE_MOONCAKE_LIB,
    });
    vi.stubEnv('CHECKPOINT_ENGINE_MOONCAKE_LIB', '/nowhere/libtransfer_engine.so');
    expect(await mooncakeAvailability()).toMatchObject({
      available: false,
      reason: expect.stringContaining('/nowhere/libtransfer_engine.so'),
      hint: expect.stringContaining('BUILD_SHARED_LIBS'),
    });
    vi.stubEnv('CHECKPOINT_ENGINE_MOONCAKE_LIB', 'libc.so.6');
    expect(await mooncakeAvailability()).toMatchObject({
      available: false,
      reason: expect.stringContaining('undefined'),
    });
    vi.stubEnv('CHECKPOINT_ENGINE_MOONCAKE_LIB', library.env.CHECKPOINT_ENGINE_MOONCAKE_LIB);
  });

  test('library and module read from each other, and notice lost ranges', async () => {
    const owner = await Peer.start(byLibrary);
    const reader = await Peer.start(byLibrary);
    vi.stubEnv('CHECKPOINT_ENGINE_MOONCAKE_LIB', '');
    const moduleOwner = await Peer.start(byModule);
    const moduleReader = await Peer.start(byModule);
    vi.stubEnv('CHECKPOINT_ENGINE_MOONCAKE_LIB', library.env.CHECKPOINT_ENGINE_MOONCAKE_LIB);

    const own = await owner.share('weights', sizeBytes, 8);
    const moduleOwn = await moduleOwner.share('weights', sizeBytes, 8);
    expect(await reader.read(await owner.address(), own)).toBe(digest);
    expect(await reader.read(await moduleOwner.address(), moduleOwn)).toBe(digest);
    expect(await moduleReader.read(await owner.address(), own)).toBe(digest);

    await owner.unregister('weights');
    const peer = await owner.address();
    await expect(reader.read(peer, own)).rejects.toMatchObject({ code: 'CE_RANGE_NOT_REGISTERED' });
    const again = await owner.share('weights', sizeBytes, 8);
    expect(await reader.read(peer, again)).toBe(digest);
    const bare = { ...again, key: 'mooncake', address: String(BigInt(again.address) + 1n) };
    await expect(reader.read(peer, bare)).rejects.toMatchObject({ code: 'CE_RANGE_NOT_REGISTERED' });
    expect(await reader.read(peer, again)).toBe(digest); // on a new engine
    await owner.kill();
    await expect(reader.read(peer, again)).rejects.toMatchObject({ code: 'CE_PEER_UNREACHABLE' });
  });
});
