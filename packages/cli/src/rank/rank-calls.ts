import { Buffer } from 'node:buffer';
import { nowMs } from '@checkpoint-engine/interface/shared';
import { decodeWorldMetas, encodeWorldMetas } from '@checkpoint-engine/meta';
import {
  type ChoiceRequest,
  type EngineClient,
  type EngineRequest,
  heldVersion,
  v1Protocol,
  v2Protocol,
  type WorkerChoice,
} from '@checkpoint-engine/ps';
import type { EngineTargets } from '../config/jobs.ts';
import { type KeptTensors, keptTensors } from '../process/kept-tensors.ts';
import type { CallJob, CallName, CallResult } from '../process/messages.ts';
import { checkAllowed } from './check-allowed.ts';
import { checkVerifiable } from './check-verifiable.ts';
import { engineName } from './engine-client.ts';
import { type EngineOptions, forgetVersions } from './engine-options.ts';
import { fingerprintFiles } from './fingerprint-files.ts';
import { namedEngineOptions } from './named-engines.ts';
import type { RankContext } from './rank-context.ts';
import { writeMetas } from './write-metas.ts';

/** How long an engine may take to describe its workers: its first answer takes seconds. */
const LOOK_MS = 30_000;

/** The implementation of each call at one rank. */
export const RANK_CALLS: {
  readonly [Name in CallName]: (context: RankContext, job: CallJob<Name>) => Promise<CallResult<Name>>;
} = {
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

  async gatherMetas({ server, rank, signal }, { name, timeoutMs, metasFile }) {
    const startedAtMs = performance.now();
    const metas = await server.gatherMetas(name, { timeoutMs, signal });
    const durationMs = performance.now() - startedAtMs;
    const unwritten = metasFile && rank === 0 ? await writeMetas(metasFile, metas) : undefined;
    return { durationMs, unwritten };
  },

  async removeFiles({ server }, { name }) {
    return await server.removeFiles(name);
  },

  async getMetas({ server }, { name }) {
    return Buffer.from(encodeWorldMetas(server.getMetas(name))).toString('base64');
  },

  async loadMetas({ server }, { metas, fallbacks = [] }) {
    const decode = (text: string) => decodeWorldMetas(new Uint8Array(Buffer.from(text, 'base64')));
    server.loadMetas(decode(metas), { fallbacks: fallbacks.map(decode) });
    return null;
  },

  /** The first rank of each inference group talks to the group's engine. */
  async engineReady(context, { targets, ranks, timeoutMs }) {
    const { rank, signal } = context;
    const { parallelSize = Number.POSITIVE_INFINITY } = targets;
    const isHead = rank % parallelSize === 0 && (ranks?.includes(rank) ?? true);
    if (!isHead) return null;
    const engine = context.engines.of(targets, rank / parallelSize);
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
      const look = { signal, timeoutMs: Math.min(LOOK_MS, timeoutMs) };
      const choice = await engine.choose(look).catch(() => undefined);
      return choice?.workers === 'v1';
    };
    if (!device.supports.hostAddressable) await server.connect({ isWanted, timeoutMs, signal });
    return null;
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

  async checkVerifiable(context, { targets, ranks, timeoutMs }) {
    const { rank, signal } = context;
    const { parallelSize = Number.POSITIVE_INFINITY } = targets;
    const isHead = rank % parallelSize === 0 && (ranks?.includes(rank) ?? true);
    if (isHead) {
      const groupIndex = rank / parallelSize;
      const look = { signal, timeoutMs: Math.min(LOOK_MS, timeoutMs) };
      await checkVerifiable(context.engines.of(targets, groupIndex), engineName(targets, groupIndex), look);
    }
    return null;
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

  /** Called at one rank, so that all ranks prepare or none does. An engine that does not answer is not prepared. */
  async canPrepare(context, { targets, timeoutMs }) {
    const look = { signal: context.signal, timeoutMs: Math.min(LOOK_MS, timeoutMs) };
    const engine = context.engines.of(targets, 0);
    if (engine.choose !== undefined) {
      const choice = await engine.choose(look).catch(() => undefined);
      return choice?.canPrepare === true;
    }
    const { workers = [] } = (await engine.describe?.(look).catch(() => undefined)) ?? {};
    return workers.length > 0 && workers.every(({ pull }) => pull !== 'never' && pull !== 'untold');
  },

  async heldVersion(context, { targets, timeoutMs }) {
    const { parallelSize = Number.POSITIVE_INFINITY } = targets;
    if (context.rank % parallelSize !== 0) return null;
    const groupIndex = context.rank / parallelSize;
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

  /** No weight changes, so requests continue and prefixes stay cached. */
  async prepare(context, { name, targets, tellsKept, ...options }) {
    let kept: KeptTensors | undefined;
    const engine = engineOptions(context, { ...targets, pause: undefined, flushCache: false });
    const prepared = await context.server.prepare(name, {
      ...options,
      ...engine,
      protocol: v2Protocol(),
      chooseWorkers: undefined,
      passes: 'one',
      onNeeds: (needs, tensors) => {
        if (tellsKept === true) kept = keptTensors(needs, tensors);
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
    engine.lookAhead?.(wait);
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
