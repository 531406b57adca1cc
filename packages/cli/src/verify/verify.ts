import { CheckpointEngineError, type Logger } from '@checkpoint-engine/interface';
import type { CommandContext } from '../command-context.ts';
import type { VerifyConfig } from '../config/verify-config.ts';
import { jsonText } from '../output/json-text.ts';
import { createLogger, LogSink } from '../output/log.ts';
import { watchInterrupts } from '../process/interrupts.ts';
import { askServer } from './ask-server.ts';
import { statusOf, type Verification } from './verification.ts';
import { verificationText } from './verification-text.ts';
import { verifyHere } from './verify-here.ts';

/**
 * Runs `verify`.
 *
 * @returns The exit status.
 * @throws The failure, after everything is released.
 */
export async function verify(
  config: VerifyConfig,
  { terminal, env }: Pick<CommandContext, 'terminal' | 'env'>,
): Promise<0 | 1> {
  const { json, log, strict, source, timeoutMs } = config;
  const sink = new LogSink(terminal, log.logFormat);
  const logger: Logger = createLogger(log.logLevel, sink);
  const interrupts = watchInterrupts();
  try {
    const verification: Verification =
      'url' in source
        ? await askServer(source, { signal: interrupts.asked, timeoutMs })
        : await verifyHere({ ...config, source }, { terminal, env, logger, sink, interrupts });
    checkSomething(verification);
    const status = statusOf(verification, strict);
    const { out } = terminal;
    terminal.print(
      json
        ? jsonText({ ok: status === 0, command: 'verify', ...verification })
        : verificationText(verification, { colors: out.colors, strict }),
    );
    return status;
  } finally {
    interrupts.stop();
  }
}

/** @throws `CE_NOT_SUPPORTED` No byte could be compared, so there is no result. */
function checkSomething({ checkedBytes, unverifiedTensors, checkpoint }: Verification): void {
  if (checkedBytes > 0 || unverifiedTensors === 0) return;
  throw new CheckpointEngineError(
    'CE_NOT_SUPPORTED',
    `Nothing of checkpoint "${checkpoint}" can be compared: the engine holds all ${unverifiedTensors} tensors in another form`,
    'Run checkpoint-engine doctor --engine for what was decided for its modules, and why',
    { op: 'verify' },
  );
}
