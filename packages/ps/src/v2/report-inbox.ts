import { randomBytes } from 'node:crypto';
import type { ReportInbox } from '@checkpoint-engine/engines';
import { type Logger, silentLogger } from '@checkpoint-engine/interface';
import { newSessionAddress } from './address.ts';
import { encodeFrame, type ReceivedMessage } from './frames.ts';
import { type Caller, SessionListener } from './listener.ts';

/** Options of {@link openReportInbox}. */
export interface ReportInboxOptions {
  readonly logger?: Logger | undefined;
}

/** An inbox that must be closed. */
export interface OpenReportInbox extends ReportInbox {
  /** Stops listening and disconnects all workers. Idempotent. */
  close(): Promise<void>;
}

/**
 * Opens an address to which workers of this host send their descriptions, for `EngineClient.describe` of an engine
 * without a route to query its workers. Accepts only workers that present the address's key.
 *
 * @throws `CE_ADDRESS_IN_USE`, `CE_NOT_SUPPORTED` if there is no abstract namespace.
 */
export async function openReportInbox({ logger = silentLogger }: ReportInboxOptions = {}): Promise<OpenReportInbox> {
  const reports: unknown[] = [];
  const address = newSessionAddress('report', randomBytes(8).toString('hex'));
  const listener = await SessionListener.listen(address, logger, (caller) => receiveReport(caller, logger, reports));
  return { address: address.text, reports, close: () => listener.close() };
}

/** One message in each direction, and a goodbye. The listener owns the socket. */
function receiveReport({ socket, reader, hello }: Caller, logger: Logger, reports: unknown[]): void {
  reader.trust();
  const { reports: canReport } = fieldsOf(hello.pull);
  if (canReport !== true) {
    logger.warn({}, 'A worker cannot report what it holds');
    socket.destroy();
    return;
  }
  const read = (): void => {
    try {
      const message = reader.next();
      if (message === undefined) return;
      if (message.type !== 'reported') throw new RangeError(`a message "${message.type.slice(0, 40)}"`);
      socket.removeListener('data', onData);
      reports.push(descriptionIn(message));
      socket.end(encodeFrame({ type: 'bye', keep: false }));
    } catch (error) {
      logger.warn({ error }, 'A worker violated the protocol while it sent its report');
      socket.destroy();
    }
  };
  const onData = (chunk: Uint8Array): void => {
    reader.push(chunk);
    read();
  };
  socket.on('data', onData);
  socket.write(encodeFrame({ type: 'report' }));
  read();
}

/** A report in the form in which workers describe themselves elsewhere. */
function descriptionIn({ type: _, recorded, proved, engine, summary, pulls, ...state }: ReceivedMessage): object {
  return { ...state, pull: pulls === false ? null : { recorded, proved, engine, summary } };
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
