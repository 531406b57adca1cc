import { Buffer } from 'node:buffer';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import {
  decodeRankMetas,
  decodeWorldMetas,
  encodeRankMetas,
  encodeWorldMetas,
  type RankMetas,
  torchType,
} from '@checkpoint-engine/meta';
import { z } from 'zod';

/** Alignment of tensors in the Python tool's pools. */
const ALIGN_BYTES = 256;
/** Separates the address of a rank from its metas, in the codec of this project. */
const MARK = '#ce-metas=';

/** The fields of the tool's `MemoryBufferMetaList` that are read. */
interface RankMetasJson {
  readonly p2p_store_addr: string | null;
  readonly memory_buffer_metas_list: readonly { readonly metas: readonly { readonly name: string }[] }[];
}

/** Metas in the codec of this project, and the checkpoint that they describe. */
export interface NamedMetas {
  readonly name: string;
  readonly encoded: Uint8Array;
}

/** `dict[int, MemoryBufferMetaList]` of the Python tool. */
export type MetasBody = Readonly<Record<string, RankMetasJson>>;

export const metasBody: z.ZodType<MetasBody> = z.record(
  z.string().regex(/^\d{1,7}$/),
  z.object({
    p2p_store_addr: z.string().nullable(),
    memory_buffer_metas_list: z.array(z.object({ metas: z.array(z.object({ name: z.string() })) })),
    rdma_device: z.string(),
  }),
);

/**
 * Writes metas as the Python tool's server does. Ranks without tensors are left out. `p2p_store_addr` is the address,
 * followed by the metas in the codec of this project, so that a client that parses and writes them again loses nothing.
 */
export function metasToJson(encoded: Uint8Array): Record<string, object> {
  const holders = decodeWorldMetas(encoded).filter(({ tensors }) => tensors.length > 0);
  return Object.fromEntries(
    holders.map((metas) => [
      String(metas.rank),
      {
        p2p_store_addr: addressOf(metas),
        memory_buffer_metas_list: metas.regions.map(({ sizeBytes, remote }, region) => ({
          metas: metas.tensors
            .filter((tensor) => tensor.region === region)
            .map((tensor) => {
              const { dtype, shape } = torchType(tensor);
              const alignedBytes = Math.ceil(tensor.sizeBytes / ALIGN_BYTES) * ALIGN_BYTES;
              return { name: tensor.name, dtype: `torch.${dtype}`, shape, aligned_size: alignedBytes };
            }),
          ptr: Number(remote?.address ?? 0),
          size: sizeBytes,
        })),
        rdma_device: metas.nics[0] ?? '',
      },
    ]),
  );
}

/**
 * Reads what {@link metasToJson} wrote, also after the Python tool's models parsed it and wrote it again.
 *
 * @throws `CE_METAS_INVALID`
 */
export function metasFromJson(body: MetasBody): NamedMetas {
  const ranks = Object.entries(body).map(([rank, { p2p_store_addr: address, memory_buffer_metas_list: regions }]) => {
    const metas = rankMetasIn(address, rank);
    const named = regions.flatMap((region) => region.metas.map(({ name }) => name));
    const held = metas.tensors.map(({ name }) => name);
    if (metas.rank !== Number(rank) || named.length !== held.length || named.some((name, at) => name !== held[at])) {
      throw invalid(`The metas of rank ${rank} differ from those in its address`, 'Send the metas unchanged');
    }
    return metas;
  });
  const names = [...new Set(ranks.map(({ checkpoint }) => checkpoint))];
  if (names.length !== 1) {
    throw invalid(
      `The metas belong to ${names.length} checkpoints: ${JSON.stringify(names)}`,
      'Send the metas of one checkpoint',
    );
  }
  return { name: names[0]!, encoded: encodeWorldMetas(ranks) };
}

function addressOf(metas: RankMetas): string | null {
  if (metas.p2pAddress === undefined) return null;
  return `${metas.p2pAddress}${MARK}${Buffer.from(encodeRankMetas(metas)).toString('base64url')}`;
}

function rankMetasIn(address: string | null, rank: string): RankMetas {
  if (address === null) {
    throw invalid(
      `The pool of rank ${rank} cannot be read by other worlds: its p2p_store_addr is null`,
      'Start the server that holds it with --p2p',
    );
  }
  const at = address.indexOf(MARK);
  if (at < 0) {
    throw invalid(
      `The metas of rank ${rank} were not written by checkpoint-engine serve`,
      'Get the metas from checkpoint-engine serve: only the Python tool reads pools of the Python tool',
    );
  }
  return decodeRankMetas(new Uint8Array(Buffer.from(address.slice(at + MARK.length), 'base64url')));
}

function invalid(what: string, hint: string): CheckpointEngineError {
  return new CheckpointEngineError('CE_METAS_INVALID', what, hint);
}
