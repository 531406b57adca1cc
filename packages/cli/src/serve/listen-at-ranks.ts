import type { HttpApi } from '@checkpoint-engine/http';
import { getRequestListener } from '@hono/node-server';
import { type Listening, listen, stopListening } from './listen.ts';

/**
 * Serves the Python tool's routes at one Unix socket for each rank. Nothing listens when it rejects.
 *
 * @param paths By rank.
 * @throws `CE_ADDRESS_IN_USE`, `CE_CONFIG_INVALID`
 */
export async function listenAtRanks({ fetchAtRank }: HttpApi, paths: readonly string[]): Promise<readonly Listening[]> {
  const listening: Listening[] = [];
  try {
    for (const [rank, path] of paths.entries()) {
      const answer = getRequestListener((request, env) => fetchAtRank!(rank, request, env), { hostname: 'localhost' });
      listening.push(await listen((request, response) => void answer(request, response), { path }));
    }
  } catch (error) {
    await Promise.all(listening.map(stopListening));
    throw error;
  }
  return listening;
}
