import { randomBytes } from 'node:crypto';
import { CheckpointEngineError } from '@checkpoint-engine/interface';

/** What the key of a registered range says to those who may read it. */
export interface RangeKey {
  /** Tells an owner from another one that has its address later. */
  readonly incarnation: string;
  /** Port of the owner's control channel, on the host of its address. */
  readonly port: number;
  /** The range, as its owner counts them. */
  readonly range: number;
  /** What a reader proves to know, and the owner too. */
  readonly secret: string;
}

const version = 'ce1';

/** Key of memory that somebody else registered with Mooncake, Python for example: nobody can be asked about it. */
export const bareKey = 'mooncake';

/** A new name or secret. */
export function randomId(): string {
  return randomBytes(24).toString('base64url');
}

export function formatKey({ incarnation, port, range, secret }: RangeKey): string {
  return [version, incarnation, port, range, secret].join('.');
}

/**
 * Reads a key; `undefined` is {@link bareKey}.
 *
 * @throws `CE_METAS_INVALID` It is not a key of this transport.
 */
export function parseKey(key: string): RangeKey | undefined {
  if (key === bareKey) return undefined;
  const match = /^ce1\.([\w-]{32})\.(\d{1,5})\.(\d{1,15})\.([\w-]{32})$/.exec(key);
  if (match === null) {
    throw new CheckpointEngineError(
      'CE_METAS_INVALID',
      `The key of a remote range is none of the rdma transport's: "${key.slice(0, 20)}"`,
      'Read it with the transport that its owner registered it with',
      { op: 'read' },
    );
  }
  return { incarnation: match[1]!, port: Number(match[2]), range: Number(match[3]), secret: match[4]! };
}
