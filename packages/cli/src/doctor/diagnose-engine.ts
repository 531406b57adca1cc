import type { EngineClient, EngineDescription, EngineWait } from '@checkpoint-engine/engines';
import { CheckpointEngineError, type Logger } from '@checkpoint-engine/interface';
import { openReportInbox } from '@checkpoint-engine/ps';
import type { EngineTargets } from '../config/requests.ts';
import { engineClient, engineName } from '../rank/engine-client.ts';

/** One engine's description of how it receives weights. Plain data. */
export interface EngineDiagnosis extends EngineDescription {
  readonly engine: string;
  /** Its URL, or the path of its socket. */
  readonly endpoint: string;
  /** Whether all its workers pull at least a part of their model. */
  readonly pulls: boolean;
}

/** Input of {@link diagnoseEngines}. */
export interface DiagnoseOptions extends Pick<EngineTargets, 'engine' | 'endpoints' | 'uds'> {
  readonly apiKey: string | undefined;
  /** Time limit for each engine to become ready, and to describe itself. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly logger: Logger;
}

/**
 * Queries how the workers of running engines receive each module. Changes nothing in them.
 *
 * @throws `CE_ENGINE_UNREACHABLE`, `CE_ENGINE_FAILED`, `CE_TIMEOUT`, `CE_CONFIG_INVALID`
 */
export async function diagnoseEngines(question: DiagnoseOptions): Promise<EngineDiagnosis[]> {
  const { engine, endpoints, uds, apiKey, timeoutMs, signal, logger } = question;
  const targets: EngineTargets = { engine, endpoints, uds };
  const count = Math.max(endpoints.length, uds.length);
  const diagnoses: EngineDiagnosis[] = [];
  for (let index = 0; index < count; index++) {
    const client = engineClient(targets, index, { apiKey, logger });
    await client.ready({ timeoutMs, signal });
    if (client.describe === undefined) throw cannotReport(engine);
    const description = await askOne(client.describe.bind(client), { timeoutMs, signal }, logger);
    const { workers } = description;
    const pulls = workers.length > 0 && workers.every(({ pull }) => pull === 'pulls');
    diagnoses.push({ engine, endpoint: engineName(targets, index), pulls, ...description });
  }
  return diagnoses;
}

/** Workers that no route of the engine reaches send their descriptions to an inbox of this process. */
async function askOne(
  describe: NonNullable<EngineClient['describe']>,
  wait: EngineWait,
  logger: Logger,
): Promise<EngineDescription> {
  const inbox = await openReportInbox({ logger }).catch((error) => {
    logger.warn({ error }, 'Workers of a backend cannot be queried from this process');
    return undefined;
  });
  try {
    return await describe({ ...wait, inbox });
  } finally {
    await inbox?.close();
  }
}

function cannotReport(engine: string): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_NOT_SUPPORTED',
    `The client of engine "${engine}" cannot query its workers`,
    'Read the log of an update, which has this information for each rank',
  );
}
