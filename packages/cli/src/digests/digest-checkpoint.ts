import { createHostDevice } from '@checkpoint-engine/device';
import {
  type CheckpointFiles,
  checkpointDigest,
  chooseBlockBytes,
  firstBlocks,
  type ParameterMeta,
  type RankMetas,
} from '@checkpoint-engine/meta';
import { type DigestedFile, digestFile, type FileTensor } from './digest-file.ts';

/** Bytes that are read at a time. */
const CHUNK_BYTES = 16 * 2 ** 20;

/** The results from the bytes of a checkpoint's files, each read once. */
export interface DigestedCheckpoint {
  readonly files: readonly DigestedFile[];
  /** All tensors, as one rank would hold them, with their digests. */
  readonly metas: RankMetas;
  /** See `checkpointDigest`. */
  readonly digest: string;
}

/** Options of {@link digestCheckpoint}. */
export interface DigestOptions {
  /** The name in the metas. */
  readonly name: string;
  /** Whether to also compute the SHA-256 of each file. */
  readonly sha256: boolean;
  readonly signal: AbortSignal;
  readonly onProgress?: ((doneBytes: number, totalBytes: number) => void) | undefined;
}

/**
 * Reads the files of a checkpoint once, and computes the digests of its tensors and, on request, the SHA-256 of its
 * files from the same bytes.
 *
 * @throws `CE_FILE_CHANGED` A file is not the one whose header was read, or changes meanwhile; `CE_FILE_*`, `CE_ABORTED`
 */
export async function digestCheckpoint(
  checkpoint: Pick<CheckpointFiles, 'files' | 'tensors'>,
  { name, sha256, signal, onProgress }: DigestOptions,
): Promise<DigestedCheckpoint> {
  const { files, tensors } = checkpoint;
  const blockBytes = chooseBlockBytes(tensors);
  const first = firstBlocks(tensors, blockBytes);
  const blocks = new BigUint64Array(first.at(-1)!);
  const byPath = new Map<string, FileTensor[]>(files.map(({ path }) => [path, []]));
  for (const [index, { path, fileOffsetBytes, sizeBytes }] of tensors.entries()) {
    byPath.get(path)!.push({ fileOffsetBytes, sizeBytes, firstBlock: first[index]! });
  }
  const totalBytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let doneBytes = 0;
  const device = await createHostDevice();
  try {
    const buffers = await Promise.all([0, 1].map(() => device.allocateHost(CHUNK_BYTES)));
    try {
      const digested: DigestedFile[] = [];
      for (const file of files) {
        const onRead = (bytes: number): void => {
          doneBytes += bytes;
          onProgress?.(doneBytes, totalBytes);
        };
        const work = { blockBytes, blocks, buffers, sha256, signal, onRead };
        digested.push(await digestFile(file, byPath.get(file.path)!, work));
      }
      const metas = metasOf(name, checkpoint, { blockBytes, blocks });
      return { files: digested, metas, digest: checkpointDigest([metas])! };
    } finally {
      for (const buffer of buffers) buffer.close();
    }
  } finally {
    await device.close();
  }
}

/** Describes all tensors as one region. No process can read it: the metas are only for comparison. */
function metasOf(
  checkpoint: string,
  { files, tensors }: Pick<CheckpointFiles, 'files' | 'tensors'>,
  digests: RankMetas['digests'],
): RankMetas {
  const regionOf = new Map(files.map(({ path }, region) => [path, region]));
  return {
    ...{ checkpoint, rank: 0, host: 'files', deviceUuid: 'files', nics: [] },
    regions: files.map(({ sizeBytes }) => ({ sizeBytes })),
    tensors: tensors.map(({ name, dtype, shape, sizeBytes, path, fileOffsetBytes }): ParameterMeta => {
      return { name, dtype, shape, sizeBytes, region: regionOf.get(path)!, offsetBytes: fileOffsetBytes };
    }),
    digests,
  };
}
