import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { Cleanup } from '@checkpoint-engine/interface/shared';
import { checkSocketPath } from '@checkpoint-engine/worker';
import type { CommandContext } from '../command-context.ts';
import { readMemoryLimits } from '../config/environment.ts';
import type { DeviceKind } from '../config/requests.ts';
import { jsonText } from '../output/json-text.ts';
import { createLogger, LogSink } from '../output/log.ts';
import type { LogOptions } from '../output/log-options.ts';
import { watchInterrupts } from '../process/interrupts.ts';
import { countGpus, resolveDeviceKind } from '../rank/open-device.ts';
import { sweepLeftovers } from '../rank/sweep-leftovers.ts';
import { verdictText } from './demo-text.ts';
import { runDemo } from './run-demo.ts';

/** The flags of `demo`. */
export interface DemoFlags extends LogOptions {
  readonly ranks?: number;
  readonly size: number;
  readonly device: DeviceKind | 'auto';
  readonly json?: true;
}

const DEFAULT_RANKS = 4;
/** The longest path of a worker's socket, relative to the folder. */
const LONGEST_SOCKET = 'worker-9999.sock';

/**
 * Runs `demo`. Removes everything at the end, even after a failure.
 *
 * @returns The exit status: 1 if a byte was wrong.
 */
export async function demo(
  flags: DemoFlags,
  { terminal, env }: Pick<CommandContext, 'terminal' | 'env'>,
): Promise<0 | 1> {
  const sink = new LogSink(terminal, flags.logFormat);
  const logger = createLogger(flags.logLevel, sink);
  const interrupts = watchInterrupts();
  const cleanup = new Cleanup();
  try {
    const device = await resolveDeviceKind(flags.device, flags.ranks ?? 1);
    const gpuCount = device === 'cuda' ? await countGpus() : DEFAULT_RANKS;
    const folder = await temporaryFolder();
    cleanup.defer(() => rm(folder, { recursive: true, force: true }));
    const outcome = await runDemo({
      device,
      rankCount: flags.ranks ?? Math.min(DEFAULT_RANKS, gpuCount),
      sizeBytes: flags.size,
      folder,
      limits: readMemoryLimits(env),
      logLevel: flags.logLevel,
      live: flags.json !== true && flags.logFormat === 'pretty',
      print: (text) => (flags.json ? undefined : terminal.print(text)),
      terminal,
      env,
      sink,
      logger,
      interrupts,
      cleanup,
    });
    await cleanup.run();
    terminal.print(flags.json ? jsonText({ command: 'demo', ...outcome }) : verdictText(outcome, terminal.out.colors));
    return outcome.ok ? 0 : 1;
  } catch (error) {
    await cleanup.run();
    await sweepLeftovers(logger);
    throw error;
  } finally {
    interrupts.stop();
  }
}

/** Creates a folder for checkpoints and sockets. @throws `CE_CONFIG_INVALID`: the folder or its path is unusable. */
async function temporaryFolder(): Promise<string> {
  const parent = tmpdir();
  const prefix = join(parent, 'checkpoint-engine-demo-');
  try {
    checkSocketPath(join(`${prefix}XXXXXX`, LONGEST_SOCKET));
    return await mkdtemp(prefix);
  } catch (error) {
    throw new CheckpointEngineError(
      'CE_CONFIG_INVALID',
      `The demo cannot use the temporary folder "${parent}": ${(error as Error).message}`,
      'Set TMPDIR to a folder with a short path that this user may write to, such as /tmp',
      { file: parent, cause: error },
    );
  }
}
