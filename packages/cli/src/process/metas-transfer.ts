import { Buffer } from 'node:buffer';
import { randomUUID } from 'node:crypto';
import type { CallName, CallRequest, CallResult } from './messages.ts';

/**
 * Size of a piece. The metas of a model with 140,000 tensors have 8 MB. One line of JSON with all of them for each rank
 * would block the server's other requests for a tenth of a second.
 */
export const PIECE_BYTES: number = 64 * 2 ** 10;

/** Makes one call to ranks, with a separate time-out. */
export type MetasCall = <Name extends 'getMetas' | 'takeMetas' | 'loadMetas'>(
  name: Name & CallName,
  request: CallRequest<Name>,
) => Promise<readonly CallResult<Name>[]>;

/** The encoded metas of all ranks. */
export interface EncodedMetas {
  readonly metas: Uint8Array;
  /** Whether the metas have the digests of all tensors. */
  readonly areDigested: boolean;
}

/** Reads the encoded metas of all ranks from one rank. @param of.weightVersion The version to put into the metas. */
export async function readMetasOf(
  call: MetasCall,
  of: Pick<CallRequest<'getMetas'>, 'name' | 'weightVersion'>,
): Promise<EncodedMetas> {
  let metas: Uint8Array | undefined;
  let areDigested = false;
  let offsetBytes = 0;
  do {
    const [answer] = await call('getMetas', { ...of, offsetBytes });
    areDigested = answer!.areDigested;
    metas ??= new Uint8Array(answer!.sizeBytes);
    const piece = Buffer.from(answer!.piece, 'base64');
    metas.set(piece, offsetBytes);
    offsetBytes += piece.byteLength;
  } while (offsetBytes < metas.byteLength);
  return { metas, areDigested };
}

/**
 * Makes ranks load the metas of another world, and those of further holders of the same checkpoint. Returns the version
 * of the weights, if the metas have one.
 */
export async function loadMetasAt(
  call: MetasCall,
  metas: Uint8Array,
  fallbacks: readonly Uint8Array[] = [],
): Promise<string | undefined> {
  const ids: string[] = [];
  for (const each of [metas, ...fallbacks]) ids.push(await sendMetas(call, each));
  const [id, ...others] = ids;
  const [loaded] = await call('loadMetas', { metas: id!, fallbacks: others });
  return loaded?.weightVersion;
}

async function sendMetas(call: MetasCall, metas: Uint8Array): Promise<string> {
  const id = randomUUID();
  const { buffer, byteOffset, byteLength } = metas;
  for (let at = 0; at < byteLength; at += PIECE_BYTES) {
    const piece = Buffer.from(buffer, byteOffset + at, Math.min(PIECE_BYTES, byteLength - at));
    await call('takeMetas', { id, piece: piece.toString('base64') });
  }
  return id;
}
