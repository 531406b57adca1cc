import { decodeWorldMetas, readCheckpoint, type TensorSpec } from '@checkpoint-engine/meta';
import { type ParallelLayout, parseRules } from '@checkpoint-engine/planner';
import type { ClusterTopology, MethodName, Scenario, SourceName } from '@checkpoint-engine/simulate';
import { configError } from '../config/config-error.ts';
import { readInputFile } from '../config/read-input-file.ts';
import type { SimulateFlags } from './flags.ts';
import type { SimulatePackage } from './load-simulate.ts';
import { readJson } from './read-json.ts';

/** Makes one scenario per method of the flags. @throws {CheckpointEngineError} `CE_CONFIG_INVALID`, `CE_FILE_*` */
export async function scenariosOf(flags: SimulateFlags, simulate: SimulatePackage): Promise<Scenario[]> {
  const topology = await topologyOf(flags, simulate);
  const layout = await layoutOf(flags, topology);
  const model = await modelOf(flags, simulate);
  const methods = flags.method ?? (flags.join === undefined ? ['broadcast', 'pull'] : ['pull']);
  return methods.map((method) => ({
    topology,
    model,
    layout,
    method: method as MethodName,
    worldSize: flags.worldSize,
    source: flags.source as SourceName | undefined,
    joining: flags.join,
    receivers: flags.receivers,
    bucketBytes: flags.bucketSize,
    deviceMemoryBytes: flags.deviceMemory,
    isFirstUpdate: flags.firstUpdate,
  }));
}

async function topologyOf(flags: SimulateFlags, simulate: SimulatePackage): Promise<ClusterTopology> {
  const { preset, topology: file, worldSize, join = 0 } = flags;
  if ((preset === undefined) === (file === undefined)) {
    throw configError(
      preset === undefined ? 'The cluster is missing' : '--preset and --topology are both given',
      'Use either --preset or --topology',
    );
  }
  const base = file === undefined ? { preset } : ((await readJson('--topology', file)) as Record<string, unknown>);
  const given = simulate.checkTopology(base);
  const gpusPerHost = flags.gpusPerHost ?? given.gpusPerHost;
  const needed = Math.ceil(worldSize / gpusPerHost) + Math.ceil(join / gpusPerHost);
  const hosts = flags.hosts ?? (file === undefined ? needed : given.hosts);
  return simulate.checkTopology({
    ...given,
    hosts,
    gpusPerHost,
    host: { ...given.host, nics: flags.nics ?? nicsFor(given, gpusPerHost) },
  });
}

/** With fewer GPUs than in the topology, only as many of its NICs as GPUs are used. */
function nicsFor({ gpusPerHost, host: { nics } }: ClusterTopology, used: number): number {
  return used < gpusPerHost && nics === gpusPerHost ? used : nics;
}

async function layoutOf(flags: SimulateFlags, { gpusPerHost }: ClusterTopology): Promise<ParallelLayout> {
  const file =
    flags.layout === undefined ? {} : ((await readJson('--layout', flags.layout)) as Record<string, unknown>);
  const { tp, pp, ep, rules = [], ...rest } = file ?? {};
  const [other] = Object.keys(rest);
  if (other !== undefined) throw configError(`The layout has an unknown field ${other}`, 'Use tp, pp, ep and rules');
  const receivers = flags.join ?? flags.receivers ?? flags.worldSize;
  const count = (name: string, flag: number | undefined, value: unknown, fallback: number): number => {
    const chosen = flag ?? value ?? fallback;
    if (typeof chosen !== 'number')
      throw configError(`${name} of the layout is ${JSON.stringify(chosen)}, expected an integer`, 'Correct --layout');
    return chosen;
  };
  return {
    tp: count('tp', flags.tp, tp, Math.min(gpusPerHost, receivers)),
    pp: count('pp', flags.pp, pp, 1),
    ep: count('ep', flags.ep, ep, 1),
    rules: parseRules(rules),
  };
}

async function modelOf(
  { model, checkpointPath, metasFile }: SimulateFlags,
  simulate: SimulatePackage,
): Promise<Scenario['model']> {
  const given = [model, checkpointPath, metasFile].filter((one) => one !== undefined);
  if (given.length !== 1) {
    throw configError(
      `${given.length} models are given, expected 1`,
      'Use one of --model, --checkpoint-path and --metas-file',
    );
  }
  if (checkpointPath !== undefined) {
    const { tensors } = await readCheckpoint(checkpointPath);
    return { title: checkpointPath, tensors };
  }
  if (metasFile !== undefined) return { title: metasFile, tensors: await tensorsOfMetas(metasFile) };
  return simulate.publishedModel(model!);
}

async function tensorsOfMetas(file: string): Promise<TensorSpec[]> {
  const bytes = await readInputFile(file).catch((error: NodeJS.ErrnoException) => {
    throw configError(
      `The file of --metas-file, "${file}", cannot be read: ${error.code ?? error.message}`,
      'Correct --metas-file',
    );
  });
  return decodeWorldMetas(bytes).flatMap(({ tensors }) => tensors);
}
