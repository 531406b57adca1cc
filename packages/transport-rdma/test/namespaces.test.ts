import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mooncakeForTests } from './support/mooncake.ts';
import { pattern } from './support/pattern.mjs';
import { killPeers, Peer } from './support/peer.ts';

const MiB = 1024 * 1024;
const { python, missing } = await mooncakeForTests();
const suffix = process.pid % 10_000;
const names = [`ce-own-${suffix}`, `ce-read-${suffix}`] as const;
const hosts = ['10.231.77.1', '10.231.77.2'] as const;
const ip = (...args: string[]): void => {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
};
const isolated = (): string | undefined => {
  try {
    const probe = `ce-probe-${suffix}`;
    ip('netns', 'add', probe);
    ip('netns', 'del', probe);
    return undefined;
  } catch (error) {
    return `network namespaces cannot be made here: ${(error as Error).message.trim().split('\n').at(-1)}`;
  }
};
const reason = missing ?? isolated();
if (reason !== undefined) console.warn(`Tests between network namespaces are skipped: ${reason}`);

describe.skipIf(reason)('between two hosts: network namespaces with a cable', () => {
  beforeAll(() => {
    for (const name of names) ip('netns', 'add', name);
    ip('link', 'add', 'cable', 'netns', names[0], 'type', 'veth', 'peer', 'name', 'cable', 'netns', names[1]);
    for (const [i, name] of names.entries()) {
      ip('-n', name, 'address', 'add', `${hosts[i]}/24`, 'dev', 'cable');
      ip('-n', name, 'link', 'set', 'cable', 'up');
      ip('-n', name, 'link', 'set', 'lo', 'up');
    }
  });
  afterAll(async () => {
    await killPeers();
    for (const name of names) ip('netns', 'del', name);
  });
  const start = (side: 0 | 1, more: object = {}): Promise<Peer> =>
    Peer.start({ python, protocol: 'tcp', host: hosts[side], ...more }, ['ip', 'netns', 'exec', names[side]]);

  test('bytes cross the link; a broken link ends the read in time, and a restored link works', async () => {
    const owner = await start(0);
    const reader = await start(1, { connectTimeoutMs: 2000 });
    const sizeBytes = 32 * MiB + 3;
    const remote = await owner.share('weights', sizeBytes, 11);
    const peer = await owner.address();
    expect(peer.startsWith(`${hosts[0]}:`)).toBe(true);
    const digest = createHash('sha256').update(pattern(sizeBytes, 11)).digest('hex');
    expect(await reader.read(peer, remote)).toBe(digest);

    ip('-n', names[0], 'link', 'set', 'cable', 'down');
    const before = performance.now();
    await expect(reader.read(peer, remote, 2500)).rejects.toMatchObject({
      code: expect.stringMatching(/^CE_(TIMEOUT|PEER_LOST|PEER_UNREACHABLE)$/),
    });
    expect(performance.now() - before).toBeLessThan(20_000); // 2 min by default

    ip('-n', names[0], 'link', 'set', 'cable', 'up');
    await expect.poll(() => reader.read(peer, remote, 5000).catch(() => '')).toBe(digest);
    await owner.close();
    await reader.close();
  });

  test('an owner with loopback as its host cannot be reached from outside', async () => {
    const owner = await start(0, { host: '127.0.0.1' });
    const reader = await start(1, { connectTimeoutMs: 2000 });
    const remote = await owner.share('weights', MiB, 1);
    await expect(reader.read(await owner.address(), remote)).rejects.toMatchObject({ code: 'CE_PEER_UNREACHABLE' });
  });
});
