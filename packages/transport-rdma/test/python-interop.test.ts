import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createHostDevice } from '@checkpoint-engine/device';
import { bareMemory, mooncakeAvailability, rdma } from '@checkpoint-engine/transport-rdma';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { engineProcesses, mooncakeForTests, oldMooncakeForTests, oldVersion, version } from './support/mooncake.ts';
import { pattern } from './support/pattern.mjs';

const program = fileURLToPath(new URL('./support/python-engine.py', import.meta.url));
const { python, missing } = await mooncakeForTests();
const old = oldMooncakeForTests();
const env = { ...process.env, MC_FORCE_TCP: '1', MC_LOG_LEVEL: 'ERROR' };
const sizeBytes = 3_000_017;

describe.skipIf(missing)('together with the TransferEngine of Python', () => {
  test('memory that Python registered is read without a control channel', async () => {
    await using device = await createHostDevice();
    const transport = rdma({ python, protocol: 'tcp' });
    const owner = spawn(python, [program, 'own', String(sizeBytes), '9'], { env, stdio: ['pipe', 'pipe', 'ignore'] });
    try {
      const [line] = await once(owner.stdout, 'data');
      const { peer, address } = JSON.parse(String(line)) as { peer: string; address: string };
      const endpoint = await transport.open({ device });
      const memory = await device.allocateHost(sizeBytes, { shared: true });
      const local = { memory, offsetBytes: 0, sizeBytes };
      const remote = bareMemory(BigInt(address), sizeBytes);
      await endpoint.read(peer, [{ remote, remoteOffsetBytes: 0, local }]);
      expect(Buffer.compare(memory.view(0, sizeBytes), pattern(sizeBytes, 9))).toBe(0);

      const past = bareMemory(BigInt(address) + 1n, sizeBytes);
      await expect(endpoint.read(peer, [{ remote: past, remoteOffsetBytes: 0, local }])).rejects.toMatchObject({
        code: 'CE_RANGE_NOT_REGISTERED',
      });
      owner.kill('SIGKILL');
      await once(owner, 'exit');
      await expect(endpoint.read(peer, [{ remote, remoteOffsetBytes: 0, local }])).rejects.toMatchObject({
        code: 'CE_PEER_UNREACHABLE',
      });
    } finally {
      owner.kill('SIGKILL');
      await transport.close();
    }
  });

  test('Python reads what is registered here', async () => {
    await using device = await createHostDevice();
    const transport = rdma({ python, protocol: 'tcp' });
    try {
      const endpoint = await transport.open({ device });
      const memory = await device.allocateHost(sizeBytes, { shared: true });
      memory.view(0, sizeBytes).set(pattern(sizeBytes, 4));
      const { remote } = await endpoint.register({ memory, offsetBytes: 0, sizeBytes });
      const args = [program, 'read', await endpoint.address(), remote.address, String(sizeBytes)];
      const digest = execFileSync(python, args, { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
      expect(digest).toBe(createHash('sha256').update(pattern(sizeBytes, 4)).digest('hex'));
    } finally {
      await transport.close();
    }
  });

  test('Python cannot overwrite what is registered here', async () => {
    await using device = await createHostDevice();
    const transport = rdma({ python, protocol: 'tcp' });
    try {
      const endpoint = await transport.open({ device });
      const memory = await device.allocateHost(sizeBytes, { shared: true });
      memory.view(0, sizeBytes).set(pattern(sizeBytes, 4));
      const { remote } = await endpoint.register({ memory, offsetBytes: 0, sizeBytes });
      const args = [program, 'write', await endpoint.address(), remote.address, String(sizeBytes)];
      execFileSync(python, args, { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
      expect(Buffer.compare(memory.view(0, sizeBytes), pattern(sizeBytes, 4))).toBe(0);
      const into = await device.allocateHost(sizeBytes, { shared: true });
      const local = { memory: into, offsetBytes: 0, sizeBytes };
      await endpoint.read(await endpoint.address(), [{ remote, remoteOffsetBytes: 0, local }]); // it still serves
      expect(Buffer.compare(into.view(0, sizeBytes), pattern(sizeBytes, 4))).toBe(0);
    } finally {
      await transport.close();
    }
  });
});

describe('mooncakeAvailability', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  test.skipIf(missing)('reports what was found', async () => {
    expect(await mooncakeAvailability(python)).toMatchObject({
      available: true,
      origin: 'module',
      python,
      version,
      efa: false,
    });
  });

  test('reports what is missing and how to get it', async () => {
    const none = await mooncakeAvailability('/nowhere/python3');
    expect(none).toMatchObject({
      available: false,
      reason: expect.stringContaining('/nowhere/python3'),
      hint: expect.stringContaining('pip install mooncake-transfer-engine'),
    });
    const transport = rdma({ python: '/nowhere/python3' });
    await using device = await createHostDevice();
    await expect(transport.open({ device })).rejects.toMatchObject({ code: 'CE_LIBRARY_NOT_FOUND' });
    await transport.close();
  });

  test.skipIf(old.missing)('reports that the installed version is too old, and how to get a newer one', async () => {
    expect(await mooncakeAvailability(old.python)).toMatchObject({
      available: false,
      reason: expect.stringMatching(
        /^Mooncake 0\.3\.1 of \S+ lacks batch_transfer_sync_read, expected 0\.3\.4 or newer/,
      ),
      hint: `Install a newer one: ${old.python} -m pip install --upgrade mooncake-transfer-engine`,
    });
    const transport = rdma({ python: old.python, protocol: 'tcp' });
    await using device = await createHostDevice();
    await expect(transport.open({ device })).rejects.toMatchObject({ code: 'CE_LIBRARY_TOO_OLD', op: 'open' });
    await transport.close();
    expect(engineProcesses()).toEqual([]);
  });

  test.skipIf(missing ?? old.missing)('continues the search if the first one is too old', async () => {
    vi.stubEnv('VIRTUAL_ENV', dirname(dirname(old.python)));
    vi.stubEnv('PATH', dirname(python));
    expect(await mooncakeAvailability()).toMatchObject({ available: true, python, version });
    vi.stubEnv('PATH', '/nowhere');
    expect(await mooncakeAvailability()).toMatchObject({
      available: false,
      reason: expect.stringContaining(oldVersion),
    });
  });
});
