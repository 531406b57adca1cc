import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { describe, expect, it } from 'vitest';
import { awaitNative, callNative, fromNativeError } from './native-error.ts';

const native = (): Error =>
  Object.assign(new Error('cuMemAlloc failed'), {
    code: 'CE_DEVICE_OUT_OF_MEMORY',
    hint: 'Free some',
    op: 'cuMemAlloc',
    status: 2,
    detail: 'CUDA_ERROR_OUT_OF_MEMORY',
  });

describe('fromNativeError', () => {
  it('keeps every field and adds details', () => {
    const error = fromNativeError(native(), { rank: 3 });
    expect(CheckpointEngineError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({
      code: 'CE_DEVICE_OUT_OF_MEMORY',
      message: 'cuMemAlloc failed',
      hint: 'Free some',
      op: 'cuMemAlloc',
      status: 2,
      detail: 'CUDA_ERROR_OUT_OF_MEMORY',
      rank: 3,
    });
  });

  it('returns errors of other origin unchanged', () => {
    const misuse = new RangeError('outside');
    const system = Object.assign(new Error('ENOENT'), { code: 'ENOENT' });
    const ours = new CheckpointEngineError('CE_CLOSED', 'closed', 'open it');
    for (const error of [misuse, system, ours, 'text', undefined]) expect(fromNativeError(error)).toBe(error);
  });
});

describe('callNative and awaitNative', () => {
  it('convert exceptions, and pass results on', async () => {
    const fail = (): never => {
      throw native();
    };
    expect(() => callNative(fail)).toThrow(CheckpointEngineError);
    await expect(awaitNative(() => Promise.reject(native()))).rejects.toThrow(CheckpointEngineError);
    await expect(awaitNative(async () => fail())).rejects.toThrow(CheckpointEngineError);
    expect(callNative(() => 1)).toBe(1);
    expect(await awaitNative(async () => 2)).toBe(2);
  });
});
