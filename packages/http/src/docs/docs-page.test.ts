import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createHttpApi } from '../create-http-api.ts';
import type { HttpWorld } from '../world.ts';
import { docsPage } from './docs-page.ts';
import type { ApiDocument } from './document.ts';

const world = { worldSize: 1, ranks: () => [], checkpoints: () => [] } as unknown as HttpWorld;
const { fetch } = createHttpApi(world, { token: 'secret' });
const get = async (path: string, headers = {}) => await fetch(new Request(`http://localhost${path}`, { headers }));
const page = async () => await (await get('/docs')).text();

describe('GET /docs', () => {
  it('shows every operation and schema of the document, without the token', async () => {
    const text = await page();
    const document = (await (
      await get('/openapi.json', { authorization: 'Bearer secret' })
    ).json()) as Required<ApiDocument>;
    const operations = Object.values(document.paths).flatMap((methods) => Object.values(methods));
    expect(operations.length).toBeGreaterThan(15);
    for (const { operationId } of operations) expect(text).toContain(`<section id="${operationId}">`);
    for (const name of Object.keys(document.components.schemas!)) expect(text).toContain(`id="schema-${name}"`);
    for (const [, id] of text.matchAll(/href="#([^"]+)"/g)) expect(text).toContain(`id="${id}"`);
    expect((await get('/openapi.json')).status).toBe(401);
  });

  it('shows a command for each operation, with the token if one is required', async () => {
    const text = await page();
    expect(text).toContain('$api/v1/checkpoints/step-100/files');
    expect(text).toContain('-d &#39;{&quot;files&quot;:[&quot;/checkpoints/step-100&quot;]}&#39;');
    const commandOf = (id: string) => text.split(`<section id="${id}">`)[1]!.split('</section>')[0]!;
    expect(commandOf('listCheckpoints')).toContain('CHECKPOINT_ENGINE_TOKEN');
    expect(commandOf('healthz')).not.toContain('CHECKPOINT_ENGINE_TOKEN');
    expect(commandOf('putMetas')).toContain('--data-binary @FILE');
  });

  it('loads nothing but its own style', async () => {
    const response = await get('/docs');
    const text = await response.text();
    expect(response.headers.get('content-type')).toBe('text/html; charset=UTF-8');
    expect(text).not.toMatch(/<script|<link|<img|\ssrc=|\son\w+=|style="|https?:\/\/(?!127\.0\.0\.1|opensource)/i);
    const [, style] = /<style>([\s\S]*)<\/style>/.exec(text)!;
    const hash = createHash('sha256').update(style!).digest('base64');
    expect(response.headers.get('content-security-policy')).toBe(
      `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
    );
  });

  it('escapes the texts of a document', () => {
    const operation = { summary: '<b>"x"</b>', description: '`<i>`', tags: ['a'], responses: {} };
    const text = docsPage({
      info: { title: '<script>alert(1)</script>', version: '1' },
      tags: [{ name: 'a' }],
      paths: { '/<p>': { get: operation } },
      components: { schemas: { T: { properties: { '<f>': { description: '<u>', default: '<d>' } } } } },
    });
    expect(text).not.toMatch(/<script|<b>|<i>|<p>"|<u>|<f>|<d>|\/<p>/);
  });

  it('is refused for other methods', async () => {
    const response = await fetch(
      new Request('http://localhost/docs', { method: 'POST', headers: { authorization: 'Bearer secret' } }),
    );
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
  });
});
