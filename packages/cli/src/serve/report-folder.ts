import { access, constants, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { HttpWorld, UpdateObserver, UpdateRecord } from '@checkpoint-engine/http';
import { CheckpointEngineError, type Logger, UNKNOWN_VERSION } from '@checkpoint-engine/interface';
import type { ProgressEvent } from '@checkpoint-engine/ps';
import { loadReport } from '../report/load-report.ts';
import type { EndedUpdate } from '../report/reported-update.ts';
import { writeReport } from '../report/write-report.ts';
import { writeTrace } from '../trace/write-trace.ts';

/** Options of {@link openReportFolder}. */
export interface ReportFolderOptions {
  readonly folder: string;
  /** Number of recent updates whose files are kept. */
  readonly keep: number;
  /** Whether to write a page next to each trace. */
  readonly hasPages: boolean;
  readonly world: HttpWorld;
  readonly logger: Logger;
}

/** Only files of this form are removed: `update-2026-01-31T12-00-00-000Z-<id>.html`. */
const OWN_FILE = /^update-\d{4}-\d{2}-\d{2}T[\d-]+Z-[0-9a-f-]+\.(?:html|trace\.json)$/;

/**
 * Writes a trace of every update to a folder, and a page on request, and removes the files of the oldest updates.
 *
 * @throws {CheckpointEngineError} `CE_CONFIG_INVALID` The folder cannot be written to. `CE_PACKAGE_NOT_FOUND`
 */
export async function openReportFolder(options: ReportFolderOptions): Promise<UpdateObserver> {
  const { folder, world, hasPages } = options;
  if (hasPages) await loadReport('--report-folder');
  await checkFolder(folder, hasPages ? '--report-folder' : '--trace');
  const events = new Map<string, ProgressEvent[]>();
  let writing: Promise<void> = Promise.resolve();
  return {
    onEvent: ({ id }, event) => {
      if (event.type === 'engine') return;
      const own = events.get(id);
      if (own === undefined) events.set(id, [event]);
      else own.push(event);
    },
    onEnd: (update) => {
      const own = events.get(update.id) ?? [];
      events.delete(update.id);
      if (update.startedAtMs === undefined) return;
      // One at a time: removal works on the folder as a whole.
      writing = writing.then(() => write(options, endedUpdate(world, update, own), update));
    },
  };
}

async function checkFolder(folder: string, flag: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
    await access(folder, constants.W_OK);
  } catch (error) {
    throw new CheckpointEngineError(
      'CE_CONFIG_INVALID',
      `The folder of ${flag}, "${folder}", cannot be written to: ${(error as Error).message}`,
      `Correct ${flag}, or allow this user to write there`,
      { file: folder, cause: error },
    );
  }
}

function endedUpdate(world: HttpWorld, update: UpdateRecord, events: readonly ProgressEvent[]): EndedUpdate {
  const { checkpoint, state, error, weightVersion, progress } = update;
  const shares = world.checkpoints().find(({ name }) => name === checkpoint)?.ranks ?? [];
  return {
    title: `${checkpoint} into ${world.worldSize === 1 ? '1 rank' : `${world.worldSize} ranks`}`,
    outcome: state === 'succeeded' ? 'succeeded' : state === 'cancelled' ? 'cancelled' : 'failed',
    error,
    events,
    devices: new Map(world.ranks().map(({ rank, device }) => [rank, device])),
    poolBytes: new Map(shares.map(({ rank, poolBytes }) => [rank, poolBytes])),
    warnings: world.checkpoints().find(({ name }) => name === checkpoint)?.warnings ?? [],
    weightVersion,
    instances: progress.engines.map(({ endpoint, weightVersionBefore }) => ({
      ...{ endpoint, weightVersionBefore },
      weightVersion: (state === 'succeeded' && weightVersion) || UNKNOWN_VERSION,
    })),
  };
}

async function write(
  { folder, keep, hasPages, logger }: ReportFolderOptions,
  ended: EndedUpdate,
  { id, startedAtMs }: UpdateRecord,
): Promise<void> {
  const name = join(folder, `update-${new Date(startedAtMs!).toISOString().replaceAll(/[:.]/g, '-')}-${id}`);
  const unwritten = [
    hasPages ? await writeReport(`${name}.html`, ended) : undefined,
    await writeTrace(`${name}.trace.json`, ended.events),
  ];
  for (const reason of unwritten) if (reason !== undefined) logger.warn({ update: id }, reason);
  try {
    const updates = new Map<string, string[]>();
    for (const file of (await readdir(folder)).filter((one) => OWN_FILE.test(one)).toSorted()) {
      const update = file.replace(/\.(?:html|trace\.json)$/, '');
      updates.set(update, [...(updates.get(update) ?? []), file]);
    }
    const old = [...updates.values()].slice(0, Math.max(0, updates.size - keep)).flat();
    for (const file of old) await rm(join(folder, file), { force: true });
  } catch (error) {
    logger.warn({ folder, err: error }, 'Old reports could not be removed');
  }
}
