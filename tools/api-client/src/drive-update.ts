// Registers, updates and unregisters a checkpoint with a client that was generated from the server's OpenAPI document.
// The test creates `schema.d.ts` with the types and paths of the document, so this file compiles only if the document
// is complete.
import createClient from 'openapi-fetch';
import type { components, paths } from './schema.js';

type Status = components['schemas']['UpdateStatus'];

/** Returns the update's last state, and the server's answer for an unknown checkpoint. */
export async function driveUpdate(baseUrl: string, folder: string) {
  const client = createClient<paths>({ baseUrl });
  const params = { path: { name: 'generated' } };

  const ready = await client.GET('/v1/readyz');
  const unknown = await client.GET('/v1/checkpoints/{name}', { params });
  check(
    await client.POST('/v1/checkpoints/{name}/files', { params, body: { files: [folder] } }),
    await client.POST('/v1/checkpoints/{name}/gather-metas', { params }),
  );
  const checkpoint = await client.GET('/v1/checkpoints/{name}', { params });
  const asked = await client.POST('/v1/checkpoints/{name}/update', {
    params: { ...params, query: { wait: 'false' } },
    body: { weight_version: 'v1', method: 'auto' },
  });
  let status = (asked.data as Status | undefined)!;
  while (status.state === 'waiting' || status.state === 'running') {
    const { data } = await client.GET('/v1/updates/{id}', { params: { path: { id: status.id } } });
    status = data!;
  }
  check(await client.DELETE('/v1/checkpoints/{name}', { params }));
  return {
    isReady: ready.data?.ready,
    unknownCode: unknown.error?.code,
    tensorCount: checkpoint.data?.tensor_count,
    state: status.state,
    weightVersion: status.weight_version,
    requestedMethod: status.requested_method,
    method: status.method,
    neededBytes: status.ranks.map(({ needed_bytes }) => needed_bytes),
  };
}

function check(...answers: readonly { readonly error?: unknown }[]): void {
  for (const { error } of answers) if (error !== undefined) throw new Error(JSON.stringify(error));
}
