import { nowMs } from '@checkpoint-engine/interface/shared';
import { decodeWorldMetas, encodeWorldMetas } from '@checkpoint-engine/meta';
import {
  type ChoiceRequest,
  type EngineClient,
  type EngineRequest,
  v1Protocol,
  v2Protocol,
  type WorkerChoice,
} from '@checkpoint-engine/ps';
import type { EngineTargets } from '../config/requests.ts';
import { type KeptTensors, keptTensors } from '../process/kept-tensors.ts';
import { checkAllowed } from './check-allowed.ts';
import { ENGINE_CALLS } from './engine-calls.ts';
import { engineName } from './engine-client.ts';
import { type EngineOptions, forgetVersions } from './engine-options.ts';
import { fingerprintFiles } from './fingerprint-files.ts';
import { namedEngineOptions } from './named-engines.ts';
import type { RankCallsAt, RankContext } from './rank-context.ts';
import { writeMetas } from './write-metas.ts';

/** The calls of a rank. */
export const RANK_CALLS: RankCallsAt = {
  ...ENGINE_CALLS,

  async register({ server, rank, signal, onEvent }, { name, allowedRoots, weightVersion, digests, ...source }) {
    if (allowedRoots) await checkAllowed(source.files, allowedRoots);
    const fingerprint = await fingerprintFiles(source.files);
    // The reader reports progress after its first read, so report the start here. Other files are read later.
    const readsNow = !source.stream && source.load !== 'background';
    if (readsNow) onEvent({ type: 'register', rank, doneBytes: 0, totalBytes: 0, atMs: nowMs() });
    // A rank without its own files holds nothing.
    const held = source.share === 'all' && source.files.length === 0 ? { tensors: [] } : source;
    return {
      ...(await server.registerCheckpoint(name, held, { signal, onEvent, weightVersion, digests })),
      fingerprint,
    };
  },

  async loaded({ server, signal }, { name }) {
    await server.checkpointLoaded(name, { signal });
    return null;
  },

  async unregister({ server }, { name, force = false }) {
    await server.unregisterCheckpoint(name, { force });
    return null;
  },

  async gatherMetas({ server, rank, signal }, { name, timeoutMs, metasFile, untilDigested }) {
    const startedAtMs = performance.now();
    const metas = await server.gatherMetas(name, {
      ...{ timeoutMs, signal },
      untilDigested: untilDigested ?? metasFile !== undefined,
    });
    const durationMs = performance.now() - startedAtMs;
    const unwritten = metasFile && rank === 0 ? await writeMetas(metasFile, metas) : undefined;
    return { durationMs, unwritten };
  },

  async removeFiles({ server }, { name }) {
    return await server.removeFiles(name);
  },

  async getMetas({ server, metasPieces }, { name, offsetBytes, weightVersion }) {
    return metasPieces.give(name, offsetBytes, () => {
      const known = server.getMetas(name);
      const metas = weightVersion === undefined ? known : known.map((rank) => ({ ...rank, weightVersion }));
      const areDigested = metas.every(({ tensors, digests }) => tensors.length === 0 || digests !== undefined);
      return { metas: encodeWorldMetas(metas), areDigested };
    });
  },

  async takeMetas({ metasPieces }, { id, piece }) {
    metasPieces.take(id, piece);
    return null;
  },

  async loadMetas({ server, metasPieces }, { metas, fallbacks }) {
    const [first, ...others] = [metas, ...fallbacks].map((id) => decodeWorldMetas(metasPieces.finish(id)));
    server.loadMetas(first!, { fallbacks: others });
    return { weightVersion: first![0]?.weightVersion };
  },

  async update(context, { name, targets, ...options }) {
    const { forgetVersions: forget, ...engine } = engineOptions(context, targets);
    try {
      return await context.server.update(name, { ...options, ...engine });
    } catch (error) {
      await forget();
      throw error;
    }
  },

  async verify(context, { name, targets, ...options }) {
    const quiet = { ...targets, pause: undefined, flushCache: false };
    const { requestEngine: _, forgetVersions: __, ...engine } = engineOptions(context, quiet);
    return await context.server.verify(name, {
      ...options,
      ...engine,
      passes: 'one',
      requestEngine: async ({ groupIndex, ...request }) => {
        const one = context.engines.of(quiet, groupIndex);
        const asked = { ...request, changesWeights: false };
        await one.preflight?.(asked);
        await one.update(asked);
      },
    });
  },

  /** No weight changes, so requests continue and prefixes stay cached. */
  async prepare(context, { name, targets, reportsKept, ...options }) {
    let kept: KeptTensors | undefined;
    const engine = engineOptions(context, { ...targets, pause: undefined, flushCache: false });
    const prepared = await context.server.prepare(name, {
      ...options,
      ...engine,
      protocol: v2Protocol(),
      chooseWorkers: undefined,
      passes: 'one',
      onNeeds: (needs, tensors) => {
        if (reportsKept === true) kept = keptTensors(needs, tensors);
      },
    });
    return prepared === undefined ? null : { ...prepared, kept };
  },
};

/** The clients for the engines of the inference groups during an update. */
function engineOptions(context: RankContext, targets: EngineTargets): EngineOptions {
  if (targets.named) return namedEngineOptions(context, targets, targets.named);
  const { rank, signal, onEvent } = context;
  const engineOf = (groupIndex: number): EngineClient => context.engines.of(targets, groupIndex);
  const asked = new Set<EngineClient>();
  const { workers, passes, choose } = engineOf(0);
  const chooseWorkers = async ({ groupIndex, ...wait }: ChoiceRequest): Promise<WorkerChoice> => {
    const engine = engineOf(groupIndex);
    const choice = await engine.choose!(wait);
    engine.prefetch?.(wait);
    return choice;
  };
  return {
    requestEngine: async ({ groupIndex, ...request }: EngineRequest): Promise<void> => {
      const engine = engineOf(groupIndex);
      const about = { type: 'engine', rank, groupIndex, endpoint: engineName(targets, groupIndex) } as const;
      await engine.preflight?.(request);
      asked.add(engine);
      onEvent({ ...about, state: 'asked', atMs: nowMs() });
      await engine.update(request);
      onEvent({ ...about, state: 'acknowledged', atMs: nowMs() });
    },
    protocol: workers === 'v2' ? v2Protocol() : v1Protocol(),
    passes,
    chooseWorkers: choose && chooseWorkers,
    inferenceParallelSize: targets.parallelSize,
    signal,
    onEvent,
    forgetVersions: () => forgetVersions(asked),
  };
}
