import { afterEach, describe, expect, test } from 'vitest';
import { freePort } from '../../../tools/test/free-port.ts';
import { RankProcess } from './store-rank.ts';

const started: RankProcess[] = [];

afterEach(async () => {
  for (const rank of started) rank.kill('SIGKILL');
  await Promise.all(started.splice(0).map((rank) => rank.exited));
});

function start(options: object, runtime?: 'node' | 'deno'): RankProcess {
  const rank = new RankProcess(options, { runtime });
  started.push(rank);
  return rank;
}

async function world(worldSize: number, options: object = {}): Promise<{ ranks: RankProcess[]; masterPort: number }> {
  const masterPort = await freePort();
  const ranks = Array.from({ length: worldSize }, (_, rank) => start({ rank, worldSize, masterPort, ...options }));
  for (const rank of ranks) expect(await rank.joined).toBeUndefined();
  return { ranks, masterPort };
}

/** Makes calls wait at every rank except `without`, calls `event`, and returns the errors and the time until then. */
async function lossAfter(ranks: RankProcess[], without: number, event: () => void) {
  const others = ranks.filter((_, rank) => rank !== without);
  const waiting = others.map((rank) => rank.call('barrier', 'update-1', 'ready').catch((error) => error));
  const failed = others.map((rank) => rank.failed);
  await Promise.all(others.map((rank) => rank.call('set', 'update-1', 'k', 'v')));
  const startedAt = performance.now();
  event();
  const errors = await Promise.all([...waiting, ...failed]);
  return { errors, tookMs: performance.now() - startedAt };
}

describe('a rank is lost', () => {
  test.each([2, 0])('kill -9 of rank %i: every other rank is notified within 10 s', async (victim) => {
    const { ranks } = await world(3);
    const { errors, tookMs } = await lossAfter(ranks, victim, () => ranks[victim]!.kill('SIGKILL'));
    for (const error of errors) expect(error).toMatchObject({ code: 'CE_RANK_LOST', peer: victim });
    expect(tookMs).toBeLessThan(10_000);
  });

  test('the others lose a stopped rank, which is notified when it continues', async () => {
    const { ranks } = await world(3, { heartbeatMs: 100, lostAfterMs: 1_500 });
    const { errors, tookMs } = await lossAfter(ranks, 1, () => ranks[1]!.kill('SIGSTOP'));
    for (const error of errors) expect(error).toMatchObject({ code: 'CE_RANK_LOST', peer: 1 });
    expect(tookMs).toBeLessThan(10_000);
    ranks[1]!.kill('SIGCONT');
    expect(await ranks[1]!.failed).toMatchObject({ code: 'CE_RANK_LOST', peer: 1, message: /continued without it/ });
  });

  test('a rank stopped for less than the limit is not lost', async () => {
    const { ranks } = await world(2, { heartbeatMs: 100, lostAfterMs: 4_000 });
    ranks[1]!.kill('SIGSTOP');
    const waiting = ranks[0]!.call('barrier', 'u', 'x');
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    ranks[1]!.kill('SIGCONT');
    await Promise.all([waiting, ranks[1]!.call('barrier', 'u', 'x')]);
  });

  test('a rank that was killed and started again joins, and the next epoch works', async () => {
    const { ranks, masterPort } = await world(2, { heartbeatMs: 100, lostAfterMs: 1_500 });
    const waiting = ranks[0]!.call('barrier', 'update-1', 'ready').catch((error) => error);
    ranks[1]!.kill('SIGKILL');
    // Started immediately, while the store still considers the old process alive.
    const again = start({ rank: 1, worldSize: 2, masterPort });
    expect(await again.joined).toBeUndefined();
    expect(await waiting).toMatchObject({ code: 'CE_RANK_LOST', peer: 1 });
    await Promise.all([ranks[0]!, again].map((rank) => rank.call('barrier', 'update-2', 'ready')));
    await Promise.all([ranks[0]!, again].map((rank) => rank.call('barrier', '', 'whole')));
  });

  test('a world whose rank 0 was killed forms again on the same port', async () => {
    const { ranks, masterPort } = await world(2, { heartbeatMs: 100, lostAfterMs: 1_500 });
    ranks[0]!.kill('SIGKILL');
    expect(await ranks[1]!.failed).toMatchObject({ code: 'CE_RANK_LOST', peer: 0 });
    const again = [0, 1].map((rank) => start({ rank, worldSize: 2, masterPort }));
    for (const rank of again) expect(await rank.joined).toBeUndefined();
    await Promise.all(again.map((rank) => rank.call('barrier', 'u', 'x')));
  });

  test('a rank that closes ends: no timer or socket keeps its process alive', async () => {
    const { ranks } = await world(2, { token: 'secret' });
    await ranks[1]!.call('close', '');
    ranks[1]!.process.stdin!.end();
    expect(await ranks[1]!.exited).toBe(0);
    expect(await ranks[0]!.failed).toMatchObject({ code: 'CE_RANK_LOST', peer: 1, message: /left/ });
    await ranks[0]!.call('close', '');
    ranks[0]!.process.stdin!.end();
    expect(await ranks[0]!.exited).toBe(0);
  });
});

describe('joining', () => {
  test.each([
    ['another token', 'wrong-token'],
    ['no token', undefined],
  ])('%s: unreachable, and no text contains the token', async (_name, token) => {
    const masterPort = await freePort();
    const right = 'right-token-of-this-world';
    const zero = start({ rank: 0, worldSize: 2, masterPort, token: right });
    const one = start({ rank: 1, worldSize: 2, masterPort, token, timeoutMs: 1_500 });
    const error = await one.joined;
    expect(error).toMatchObject({ code: 'CE_STORE_UNREACHABLE', hint: /MASTER_ADDR.*MASTER_PORT.*token/ });
    expect(error!.message).toContain(`127.0.0.1:${masterPort}`);
    expect(await one.exited).toBe(3);
    expect(JSON.stringify(error) + one.stderr + zero.stderr).not.toMatch(/right-token|wrong-token/);
    const member = start({ rank: 1, worldSize: 2, masterPort, token: right });
    expect(await member.joined).toBeUndefined();
  });

  test('a port in use is named, with the variable to set', async () => {
    const { masterPort } = await world(2);
    const second = start({ rank: 0, worldSize: 2, masterPort });
    expect(await second.joined).toMatchObject({
      code: 'CE_ADDRESS_IN_USE',
      message: expect.stringContaining(String(masterPort)),
      hint: expect.stringContaining('MASTER_PORT'),
    });
  });

  test('ranks may start long before rank 0', async () => {
    const masterPort = await freePort();
    const one = start({ rank: 1, worldSize: 2, masterPort, token: 't' });
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    const zero = start({ rank: 0, worldSize: 2, masterPort, token: 't' });
    expect(await zero.joined).toBeUndefined();
    expect(await one.joined).toBeUndefined();
    await Promise.all([zero, one].map((rank) => rank.call('barrier', '', 'x')));
  });
});

describe('Deno', () => {
  test.each([
    ['node', 'deno', undefined],
    ['node', 'deno', 'secret'],
    ['deno', 'node', 'secret'],
    ['deno', 'deno', 'secret'],
  ] as const)('server in %s, client in %s, token %s', async (server, client, token) => {
    const masterPort = await freePort();
    const options = { worldSize: 2, masterPort, token };
    const ranks = [start({ ...options, rank: 0 }, server), start({ ...options, rank: 1 }, client)];
    for (const rank of ranks) expect(await rank.joined).toBeUndefined();
    const wait = ranks[1]!.call('wait', 'u', 'k');
    await ranks[0]!.call('set', 'u', 'k', 'value');
    expect(await wait).toBe('value');
    for (let round = 0; round < 20; round++) await Promise.all(ranks.map((rank) => rank.call('barrier', 'u', 'x')));
    const gathered = await Promise.all(ranks.map((rank) => rank.call('gather', 'u', 'g', 20_000_000)));
    for (const values of gathered)
      expect(values).toEqual([
        [20_000_000, 1, 1],
        [20_000_000, 2, 2],
      ]);
    // Tests that the server detects the loss. Tests above do the same with Node.js.
    if (server === 'deno') {
      ranks[1]!.kill('SIGKILL');
      expect(await ranks[0]!.failed).toMatchObject({ code: 'CE_RANK_LOST', peer: 1 });
    }
    await ranks[0]!.call('close', '');
    ranks[0]!.process.stdin!.end();
    expect(await ranks[0]!.exited).toBe(0);
  });

  test('waiting in Deno uses no CPU', async () => {
    const masterPort = await freePort();
    const ranks = [0, 1].map((rank) => start({ rank, worldSize: 2, masterPort }, 'deno'));
    for (const rank of ranks) expect(await rank.joined).toBeUndefined();
    const before = await Promise.all(ranks.map((rank) => rank.call('cpu', '')));
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    const after = await Promise.all(ranks.map((rank) => rank.call('cpu', '')));
    const usedMs = after.map((ms, rank) => Math.round(Number(ms) - Number(before[rank])));
    console.log(`CPU of two idle Deno ranks over 2 s: ${usedMs.join(' and ')} ms`);
    for (const ms of usedMs) expect(ms).toBeLessThan(600);
  });
});
