import fc from 'fast-check';
import { expect, it } from 'vitest';
import { readBody } from './read-body.ts';

function requestOf(pieces: readonly Uint8Array[], headers: Record<string, string>): Request {
  const body = new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(piece);
      controller.close();
    },
  });
  return new Request('http://localhost/', { method: 'POST', body, headers, duplex: 'half' } as RequestInit);
}

it('returns all bytes, with a declared size and without', async () => {
  const pieces = fc.array(fc.uint8Array({ maxLength: 70_000 }), { maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(pieces, fc.boolean(), async (list, isDeclared) => {
      const whole = list.flatMap((piece) => [...piece]);
      const headers: Record<string, string> = isDeclared ? { 'content-length': String(whole.length) } : {};
      const read = await readBody(requestOf(list, headers));
      expect(read).toEqual(new Uint8Array(whole));
      // It can move to another thread without a copy.
      expect(read.buffer.byteLength).toBe(read.byteLength);
    }),
    { numRuns: 50 },
  );
});

it('returns nothing for a request without a body', async () => {
  expect(await readBody(new Request('http://localhost/'))).toHaveLength(0);
});
