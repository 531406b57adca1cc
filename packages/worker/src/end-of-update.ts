import type { CheckpointEngineError, ServerMessage } from '@checkpoint-engine/interface';
import type { HeldVersion } from './held-version.ts';
import type { PullSession } from './pull/pull-session.ts';
import type { ServerLink } from './server-link.ts';
import { serverBroke } from './server-message.ts';

/** The parts of an update that its end needs. */
export interface UpdateParts {
  readonly link: ServerLink;
  readonly pulling: PullSession | undefined;
  readonly held: HeldVersion | undefined;
}

/**
 * Pulls until the server has no more data and reports that all workers have finished.
 *
 * @returns Whether the server will confirm the version.
 */
export async function pullAll({ link, pulling, held }: UpdateParts): Promise<boolean> {
  for (;;) {
    const message = await link.receive();
    if (message.type === 'finish') return message.confirms === true;
    if (message.type !== 'pull' || pulling === undefined) throw unexpected(message);
    held?.forget();
    await pulling.pull(message);
  }
}

/**
 * Handles the server's requests after the weights are loaded: comparison, confirmation of the version, and the end.
 *
 * @param confirms Whether the server will confirm the version.
 * @param onOver Called when the update is over, with whether the connection stays open.
 */
export async function followToEnd(
  { link, pulling, held }: UpdateParts,
  confirms: boolean,
  onOver: (staysOpen: boolean) => void,
): Promise<void> {
  let isConfirmed = !confirms;
  for (;;) {
    const message = await link.receive();
    if (message.type === 'confirm' && !isConfirmed) {
      isConfirmed = true;
      throwIfFailed(link);
      held?.confirm(message.version);
      link.send({ type: 'confirmed' });
      if (pulling !== undefined) continue;
      onOver(false);
      await link.end();
      return;
    }
    if (message.type === 'bye' && pulling !== undefined && isConfirmed) {
      throwIfFailed(link);
      onOver(message.keep);
      if (message.keep) link.idle();
      pulling.bye(message.keep);
      if (!message.keep) await link.end();
      return;
    }
    if (pulling === undefined) throw unexpected(message);
    if (message.type === 'prove') await pulling.prove(message);
    else if (message.type === 'digest') await pulling.digest(message);
    else throw unexpected(message);
  }
}

/** The error for a message that the protocol does not allow now. */
export function unexpected(message: ServerMessage): CheckpointEngineError {
  return serverBroke(`"${message.type}" out of order`);
}

/** Throws the error that ended the connection, if there is one. */
export function throwIfFailed(link: ServerLink): void {
  if (link.failure) throw link.failure;
}
