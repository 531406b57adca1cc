// Writes one shard: its header, then the key stream of a cipher, which looks random and is faster than a disk.
import { createCipheriv, createHash } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import { encodeSafetensorsHeader, type TensorSpec, tensorBytes } from '@checkpoint-engine/meta';
import { totalBytes } from '@checkpoint-engine/model-tensors';
import type { Shard } from './write-shards.ts';

const CHUNK_BYTES = 4 * 2 ** 20;

const { path, tensors, seed } = workerData as Shard;
const key = createHash('sha256').update(seed).digest().subarray(0, 16);
const cipher = createCipheriv('aes-128-ctr', key, new Uint8Array(16));
const zeros = new Uint8Array(CHUNK_BYTES);
const file = openSync(path, 'wx');
write(encodeSafetensorsHeader(tensors, { format: 'pt' }));
for (const run of runsOf(tensors)) {
  for (let leftBytes = run.sizeBytes; leftBytes > 0; leftBytes -= CHUNK_BYTES) {
    const bytes = cipher.update(zeros.subarray(0, Math.min(leftBytes, CHUNK_BYTES)));
    if (run.isBool) for (const [index, byte] of bytes.entries()) bytes[index] = byte & 1;
    write(bytes);
  }
}
closeSync(file);

function write(bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done);
}

/** Neighboring tensors with the same kind of bytes: a boolean is 0 or 1. */
function runsOf(all: readonly TensorSpec[]): { isBool: boolean; sizeBytes: number }[] {
  if (all.every(({ dtype }) => dtype !== 'BOOL')) return [{ isBool: false, sizeBytes: totalBytes(all) }];
  return all.map(({ dtype, shape }) => ({ isBool: dtype === 'BOOL', sizeBytes: tensorBytes(dtype, shape) }));
}
