import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { freePort } from '../../../tools/test/free-port.ts';
import { type Launch, NO_PROCESSES, OWN_PROCESSES, RankProcess } from './store-rank.ts';

const NOBODY = 65_534;
/** `st` of an established connection in `/proc/net/tcp`. */
const ESTABLISHED = '01';

const folder = await mkdtemp(join(tmpdir(), 'local-ranks-'));
afterAll(() => rm(folder, { recursive: true, force: true }));

const started: RankProcess[] = [];
afterEach(async () => {
  for (const rank of started) rank.kill('SIGKILL');
  await Promise.all(started.splice(0).map((rank) => rank.exited));
});

function start(rank: number, masterPort: number, launch: Launch = {}): RankProcess {
  const options = { rank, worldSize: 2, masterPort, token: 'the token of this world' };
  const rankProcess = new RankProcess({ ...options, heartbeatMs: 100, lostAfterMs: 4_000 }, launch);
  started.push(rankProcess);
  return rankProcess;
}

/** Starts a world of two ranks. Resolves when they have met. */
async function world(zero: Launch, one: Launch): Promise<{ ranks: [RankProcess, RankProcess]; masterPort: number }> {
  const masterPort = await freePort();
  const ranks: [RankProcess, RankProcess] = [start(0, masterPort, zero), start(1, masterPort, one)];
  for (const rank of ranks) expect(await rank.joined).toBeUndefined();
  await meet(ranks);
  return { ranks, masterPort };
}

const meet = (ranks: readonly RankProcess[]) => Promise.all(ranks.map((rank) => rank.call('barrier', '', 'met')));

/** Connections that the kernel has at the server's end of a port. */
async function connectionsAt(port: number): Promise<number> {
  const end = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const lines = (await readFile('/proc/net/tcp', 'utf8')).split('\n').map((line) => line.trim().split(/\s+/));
  return lines.filter(([, local, , state]) => local?.endsWith(end) && state === ESTABLISHED).length;
}

/** The path under which a process keeps the socket of its store. */
async function socketOf({ pid }: RankProcess['process']): Promise<string> {
  for (const descriptor of await readdir(`/proc/${pid}/fd`)) {
    const path = `/proc/${pid}/fd/${descriptor}`;
    if ((await readlink(path)).includes('/checkpoint-engine-')) return path;
  }
  throw new Error('The process has no such socket');
}

test.each([
  ['node', 'node'],
  ['node', 'deno'],
  ['deno', 'node'],
  ['deno', 'deno'],
] as const)('no connection of the ranks of one host passes the port (server in %s, client in %s)', async (a, b) => {
  const ownFolder = join(folder, `${a}-${b}`);
  await mkdir(ownFolder);
  const { ranks, masterPort } = await world(
    // A killed server in Deno leaves its socket there.
    { runtime: a, env: { TMPDIR: ownFolder } },
    { runtime: b },
  );
  await expect.poll(() => connectionsAt(masterPort), { timeout: 10_000 }).toBe(0);
  await meet(ranks);
  expect(await connectionsAt(masterPort)).toBe(0);
  // The count is that of this port.
  const other = connect(masterPort, '127.0.0.1').on('error', () => {});
  await expect.poll(() => connectionsAt(masterPort)).toBe(1);
  other.destroy();
});

test('a killed rank joins again without the port, and killed processes leave no file', async () => {
  const ownFolder = join(folder, 'killed');
  await mkdir(ownFolder);
  const env = { TMPDIR: ownFolder };
  const { ranks, masterPort } = await world({ env }, { env });
  ranks[1].kill('SIGKILL');
  const again = start(1, masterPort, { env });
  expect(await again.joined).toBeUndefined();
  // Not in the outermost scope: rank 0 may not have learned yet that it started over.
  await Promise.all([ranks[0], again].map((rank) => rank.call('barrier', 'next', 'met')));
  await expect.poll(() => connectionsAt(masterPort), { timeout: 10_000 }).toBe(0);
  for (const rank of [ranks[0], again]) rank.kill('SIGKILL');
  await Promise.all([ranks[0].exited, again.exited]);
  expect(await readdir(ownFolder)).toEqual([]);
});

if (NO_PROCESSES) console.warn(`Ranks in containers are not tested: ${NO_PROCESSES}`);

test.skipIf(NO_PROCESSES)('a rank that sees other processes than the server uses the port', async () => {
  const { ranks, masterPort } = await world({}, { prefix: OWN_PROCESSES });
  await expect.poll(() => connectionsAt(masterPort), { timeout: 10_000 }).toBe(1);
  await meet(ranks);
  expect(await connectionsAt(masterPort)).toBe(1);
  // A server with its own processes: a rank outside does not mistake another process for it.
  const inside = await world({ prefix: OWN_PROCESSES }, {});
  await expect.poll(() => connectionsAt(inside.masterPort), { timeout: 10_000 }).toBe(1);
});

const script = `require('node:fs').readFileSync(${JSON.stringify(fileURLToPath(new URL('store-rank.mjs', import.meta.url)))})`;
const nobody = spawnSync(process.execPath, ['-e', script], { uid: NOBODY, encoding: 'utf8' });
const noUser = nobody.status === 0 ? undefined : `no other user: ${nobody.error ?? nobody.stderr}`;
if (noUser) console.warn(`Ranks of another user are not tested: ${noUser}`);

describe.skipIf(noUser)('another user', () => {
  test('joins through the port with the token', async () => {
    const { ranks, masterPort } = await world({}, { uid: NOBODY });
    await expect.poll(() => connectionsAt(masterPort), { timeout: 10_000 }).toBe(1);
    await meet(ranks);
    expect(await connectionsAt(masterPort)).toBe(1);
  });

  test('cannot connect to the socket', async () => {
    const { ranks } = await world({}, {});
    const path = await socketOf(ranks[0].process);
    const attempt = `require('node:net').connect(${JSON.stringify(path)})
      .on('connect', () => process.exit(1)).on('error', ({ code }) => { console.log(code); process.exit(0); })`;
    const own = spawnSync(process.execPath, ['-e', attempt], { encoding: 'utf8' });
    expect(own.status).toBe(1);
    const other = spawnSync(process.execPath, ['-e', attempt], { uid: NOBODY, encoding: 'utf8' });
    expect(other).toMatchObject({ status: 0, stdout: 'EACCES\n' });
  });
});
