import { randomBytes } from 'node:crypto';
import { CheckpointEngineError } from '@checkpoint-engine/interface';

/** The contents of a registered range's key. */
export interface RangeKey {
  /** Distinguishes this owner from a later one with the same address. */
  readonly incarnation: string;
  /** Port of the owner's control channel, on the host of its address. */
  readonly port: number;
  /** Identifies the range at its owner. */
  readonly range: number;
  /** The secret whose knowledge reader and owner prove to each other. */
  readonly secret: string;
}

const version = 'ce1';

/** Key of memory that another program registered with Mooncake, such as Python: its owner has no control channel. */
export const bareKey = 'mooncake';

/** Creates a random identifier or secret. */
export function randomId(): string {
  return randomBytes(24).toString('base64url');
}

export function formatKey({ incarnation, port, range, secret }: RangeKey): string {
  return [version, incarnation, port, range, secret].join('.');
}

/**
 * Parses a key; returns `undefined` for {@link bareKey}.
 *
 * @throws `CE_METAS_INVALID` It is not a key of this transport.
 */
export function parseKey(key: string): RangeKey | undefined {
  if (key === bareKey) return undefined;
  const match = /^ce1\.([\w-]{32})\.(\d{1,5})\.(\d{1,15})\.([\w-]{32})$/.exec(key);
  if (match === null) {
    throw new CheckpointEngineError(
      'CE_METAS_INVALID',
      `The key of a remote range does not belong to the rdma transport: "${key.slice(0, 20)}"`,
      'Read the range with the transport that registered it',
      { op: 'read' },
    );
  }
  return { incarnation: match[1]!, port: Number(match[2]), range: Number(match[3]), secret: match[4]! };
}
