import { Buffer } from 'node:buffer';
import { decodeWorldMetas, encodeWorldMetas, type RankMetas } from '@checkpoint-engine/meta';
import { describe, expect, it } from 'vitest';
import { metasBody, metasFromJson, metasToJson } from './metas-json.ts';

const metasOf = (rank: number, change: Partial<RankMetas> = {}): RankMetas => ({
  ...{ checkpoint: 'a', rank, host: 'h', deviceUuid: `GPU-${rank}`, p2pAddress: '10.0.0.1:700', nics: ['mlx5_0'] },
  regions: [{ sizeBytes: 512, remote: { address: '140737353936896', sizeBytes: 512, key: 'k' } }, { sizeBytes: 64 }],
  tensors: [
    { name: `x.${rank}`, dtype: 'BF16', shape: [3, 4], sizeBytes: 24, region: 0, offsetBytes: 256 },
    { name: `y.${rank}`, dtype: 'F32', shape: [], sizeBytes: 4, region: 1, offsetBytes: 0 },
  ],
  ...change,
});
const world = [metasOf(0), metasOf(1, { tensors: [] }), metasOf(2)];
const json = () => metasBody.parse(JSON.parse(JSON.stringify(metasToJson(encodeWorldMetas(world)))));

describe('metas of the Python tool', () => {
  it('list tensors by rank and region, without ranks that hold nothing', () => {
    const written = metasToJson(encodeWorldMetas(world));
    expect(Object.keys(written)).toEqual(['0', '2']);
    expect(written['2']).toMatchObject({
      rdma_device: 'mlx5_0',
      p2p_store_addr: expect.stringMatching(/^10\.0\.0\.1:700#ce-metas=[\w-]+$/),
      memory_buffer_metas_list: [
        {
          ...{ ptr: 140737353936896, size: 512 },
          metas: [{ name: 'x.2', dtype: 'torch.bfloat16', shape: [3, 4], aligned_size: 256 }],
        },
        { ptr: 0, size: 64, metas: [{ name: 'y.2', dtype: 'torch.float32', shape: [], aligned_size: 256 }] },
      ],
    });
  });

  it('are read back completely', () => {
    const { name, encoded } = metasFromJson(json());
    expect(name).toBe('a');
    expect(decodeWorldMetas(encoded)).toEqual([world[0], world[2]]);
  });

  it('have no address if other worlds cannot read', () => {
    const alone = metasToJson(encodeWorldMetas([metasOf(0, { p2pAddress: undefined })]));
    expect(alone['0']).toMatchObject({ p2p_store_addr: null });
    expect(() => metasFromJson(metasBody.parse(alone))).toThrow(/cannot be read by other worlds/);
  });

  it.each([
    [
      'tensors that were taken out',
      () => ({ 0: { ...json()['0']!, memory_buffer_metas_list: [] } }),
      /differ from those/,
    ],
    ['another rank', () => ({ 1: json()['0']! }), /differ from those/],
    ['those of the Python tool', () => ({ 0: { ...json()['0']!, p2p_store_addr: '10.0.0.1:700' } }), /not written by/],
    [
      'bytes that are not metas',
      () => ({ 0: { ...json()['0']!, p2p_store_addr: `x#ce-metas=${Buffer.from('no').toString('base64url')}` } }),
      /CEMT/,
    ],
    ['none', () => ({}), /belong to 0 checkpoints/],
    [
      'several checkpoints',
      () => ({ ...json(), ...metasBody.parse(metasToJson(encodeWorldMetas([metasOf(1, { checkpoint: 'b' })]))) }),
      /belong to 2 checkpoints/,
    ],
  ] as const)('refuse %s', (_, body, text) => {
    expect(() => metasFromJson(body())).toThrow(text);
  });
});
