import { type Copy, type HostMemory, type P2PEndpoint, type P2PRead, silentLogger } from '@checkpoint-engine/interface';
import type { RankMetas } from '@checkpoint-engine/meta';
import { planBuckets } from '@checkpoint-engine/planner';
import { describe, expect, it } from 'vitest';
import { PeerChunks } from './peer-chunks.ts';
import { ReadAheadSource } from './read-ahead-source.ts';
import { RemotePools } from './remote-pools.ts';
import { cut } from './stream-chunk.ts';

const KEY = 'pool';
const sizes = [1000, 256, 3, 5000, 77];
const pool = Uint8Array.from({ length: 8192 }, (_, index) => (index * 31 + (index >> 8)) % 251);

function owner(): RankMetas {
  let end = 64;
  const tensors = sizes.map((sizeBytes, index) => {
    const offsetBytes = end;
    end += Math.ceil(sizeBytes / 512) * 512;
    return { name: `t${index}`, dtype: 'U8' as const, shape: [sizeBytes], sizeBytes, region: 0, offsetBytes };
  });
  const remote = { address: '0', sizeBytes: pool.length, key: KEY };
  const regions = [{ sizeBytes: pool.length, remote }];
  return { checkpoint: 'a', rank: 5, host: 'h', deviceUuid: 'd', p2pAddress: 'peer', nics: [], regions, tensors };
}

/** A transport that copies between byte arrays. */
const endpoint = {
  async read(peer: string, reads: readonly P2PRead[]) {
    expect(peer).toBe('peer');
    for (const { remote, remoteOffsetBytes, local } of reads) {
      expect(remote.key).toBe(KEY);
      const bytes = pool.subarray(remoteOffsetBytes, remoteOffsetBytes + local.sizeBytes);
      (local.memory as HostMemory & { bytes: Uint8Array }).bytes.set(bytes, local.offsetBytes);
    }
  },
} as unknown as P2PEndpoint;

const memoryOf = (sizeBytes: number) => ({ sizeBytes, bytes: new Uint8Array(sizeBytes) }) as unknown as HostMemory;
const bytesOf = (memory: unknown): Uint8Array => (memory as { bytes: Uint8Array }).bytes;

describe('PeerChunks', () => {
  it('moves every tensor through a host ring to the device if the transport cannot write to it', async () => {
    const metas = owner();
    const plan = planBuckets([metas], { bucketBytes: 5120 });
    const { signal } = new AbortController();
    const pools = new RemotePools({
      endpoint,
      metas: [metas],
      fallbacks: [],
      alignBytes: plan.alignBytes,
      signal,
      logger: silentLogger,
    });
    const ring = memoryOf(1024);
    const chunks = plan.buckets.flatMap((bucket) =>
      cut(bucket, 300).map((part) => ({ ...part, ringBytes: part.toBytes - part.fromBytes })),
    );
    const stream = {
      name: 'h2d',
      async copy(copies: readonly Copy[]) {
        for (const { from, to } of copies) {
          const bytes = bytesOf(from.memory).subarray(from.offsetBytes, from.offsetBytes + from.sizeBytes);
          bytesOf(to.memory).set(bytes, to.offsetBytes);
        }
      },
      close: async () => {},
    };
    let isReleased = false;
    const release = (): void => {
      isReleased = true;
    };
    const options = { stream, signal, emit: () => {}, logger: silentLogger, rank: 0 };
    const source = new ReadAheadSource(new PeerChunks(pools), chunks, ring, release, options);
    for (const bucket of plan.buckets) {
      const target = memoryOf(bucket.sizeBytes);
      await source.ready(bucket);
      await source.load(bucket, { memory: target, offsetBytes: 0, sizeBytes: bucket.sizeBytes });
      let offset = 0;
      for (const tensor of metas.tensors.slice(bucket.firstTensor, bucket.firstTensor + bucket.tensorCount)) {
        const wanted = pool.subarray(tensor.offsetBytes, tensor.offsetBytes + tensor.sizeBytes);
        expect(bytesOf(target).subarray(offset, offset + tensor.sizeBytes)).toEqual(wanted);
        offset = Math.ceil((offset + tensor.sizeBytes) / plan.alignBytes) * plan.alignBytes;
      }
    }
    await source.close();
    expect(isReleased).toBe(true);
  });
});
