import { heldVersion } from '@checkpoint-engine/ps';
import { checkVerifiable } from './check-verifiable.ts';
import { engineName } from './engine-client.ts';
import { headedGroup } from './headed-group.ts';
import type { RankCallsAt } from './rank-context.ts';

/** Time limit for an engine to describe its workers. Its first answer takes seconds. */
const QUERY_TIMEOUT_MS = 30_000;

/** The calls that ask engines, and leave weights as they are. The first rank of each inference group asks its engine. */
export const ENGINE_CALLS: Pick<
  RankCallsAt,
  'engineReady' | 'connect' | 'checkVerifiable' | 'canPrepare' | 'heldVersion'
> = {
  async engineReady(context, { targets, ranks, timeoutMs }) {
    const { rank, signal } = context;
    const groupIndex = headedGroup(rank, targets, ranks);
    if (groupIndex === undefined) return null;
    const engine = context.engines.of(targets, groupIndex);
    await engine.ready({ signal, timeoutMs });
    // The first check of a server can take seconds, and files are read meanwhile. Only the update uses the result.
    await engine.choose?.({ signal, timeoutMs }).catch(() => {});
    return null;
  },

  /** On the host the group costs almost nothing, and workers that pull need none: the first rank asks. */
  async connect(context, { targets, timeoutMs }) {
    const { server, rank, device, signal } = context;
    const isWanted = async (): Promise<boolean> => {
      if (rank > 0) return true;
      const engine = context.engines.of(targets, 0);
      if (engine.choose === undefined) return engine.workers !== 'v2';
      const wait = { signal, timeoutMs: Math.min(QUERY_TIMEOUT_MS, timeoutMs) };
      const choice = await engine.choose(wait).catch(() => undefined);
      return choice?.workers === 'v1';
    };
    if (!device.supports.hostAddressable) await server.connect({ isWanted, timeoutMs, signal });
    return null;
  },

  async checkVerifiable(context, { targets, ranks, timeoutMs }) {
    const { rank, signal } = context;
    const groupIndex = headedGroup(rank, targets, ranks);
    if (groupIndex === undefined) return null;
    const wait = { signal, timeoutMs: Math.min(QUERY_TIMEOUT_MS, timeoutMs) };
    await checkVerifiable(context.engines.of(targets, groupIndex), engineName(targets, groupIndex), wait);
    return null;
  },

  /** Called at one rank, so that all ranks prepare or none does. An engine that does not answer is not prepared. */
  async canPrepare(context, { targets, timeoutMs }) {
    const wait = { signal: context.signal, timeoutMs: Math.min(QUERY_TIMEOUT_MS, timeoutMs) };
    const engine = context.engines.of(targets, 0);
    if (engine.choose !== undefined) {
      const choice = await engine.choose(wait).catch(() => undefined);
      return choice?.canPrepare === true;
    }
    const { workers = [] } = (await engine.describe?.(wait).catch(() => undefined)) ?? {};
    return workers.length > 0 && workers.every(({ pull }) => pull !== 'never' && pull !== 'unreported');
  },

  async heldVersion(context, { targets, timeoutMs }) {
    const groupIndex = headedGroup(context.rank, targets, undefined);
    if (groupIndex === undefined) return null;
    const endpoint = engineName(targets, groupIndex);
    // An engine that does not answer has no description.
    const signal = AbortSignal.any([context.signal, AbortSignal.timeout(timeoutMs)]);
    const description = await context.engines
      .of(targets, groupIndex)
      .describe?.({ signal, timeoutMs })
      .catch(() => undefined);
    if (description === undefined) return { endpoint };
    const [checkpoint, ...others] = new Set(description.workers.map((worker) => worker.checkpoint));
    const isSame = others.length === 0;
    return { endpoint, weightVersion: heldVersion(description), checkpoint: isSame ? checkpoint : undefined };
  },
};
