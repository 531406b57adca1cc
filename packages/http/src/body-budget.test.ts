import { Hono } from 'hono';
import { describe, expect, it } from 'vitest';
import { BodyBudget } from './body-budget.ts';
import type { RequestError } from './problem.ts';

const MIB = 2 ** 20;
const setUp = (maxSize = 16 * MIB) => {
  const waiting: (() => void)[] = [];
  const app = new Hono();
  app.use(new BodyBudget().limit(maxSize));
  app.post('/', async (context) => {
    await new Promise<void>((resolve) => waiting.push(resolve));
    return context.body(null, 200);
  });
  app.onError((error) => new Response(error.message, { status: (error as RequestError).httpStatus }));
  const post = (headers: Record<string, string>) =>
    Promise.resolve(app.fetch(new Request('http://localhost/', { method: 'POST', headers })));
  const sized = (sizeBytes: number) => post({ 'content-length': `${sizeBytes}` });
  const endAll = (): void => {
    for (const end of waiting.splice(0)) end();
  };
  return { post, sized, endAll, begun: (count: number) => expect.poll(() => waiting.length).toBe(count) };
};

describe('BodyBudget', () => {
  it('refuses bodies that do not fit at the same time as others, and accepts them later', async () => {
    const { sized, endAll, begun } = setUp();
    const taken = [1, 2, 3, 4].map(() => sized(16 * MIB));
    await begun(4);
    expect((await sized(MIB)).status).toBe(503);
    // Small requests are accepted, so a client can request and cancel an update.
    const small = sized(1_000);
    await begun(5);
    endAll();
    for (const request of [...taken, small]) expect((await request).status).toBe(200);
    const later = sized(MIB);
    await begun(1);
    endAll();
    expect((await later).status).toBe(200);
  });

  it('counts a body of unknown size as the largest', async () => {
    const { post, sized, endAll, begun } = setUp(64 * MIB);
    const chunked = post({ 'transfer-encoding': 'chunked' });
    await begun(1);
    expect((await sized(MIB)).status).toBe(503);
    endAll();
    expect((await chunked).status).toBe(200);
  });

  it('refuses a body that is too large at once', async () => {
    expect((await setUp().sized(17 * MIB)).status).toBe(413);
  });
});
