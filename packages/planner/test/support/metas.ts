import type { DType, ParameterMeta, RankMetas } from '@checkpoint-engine/meta';

/** A tensor without a place: bytes only, or a dtype and a shape with their bytes. */
export interface TensorSpec {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly sizeBytes: number;
}

/** A tensor of the given size. */
export function bytesTensor(name: string, sizeBytes: number): TensorSpec {
  return { name, dtype: 'U8', shape: [sizeBytes], sizeBytes };
}

/** Options of {@link poolOf}. */
export interface PoolOptions {
  /** @default 256 */
  readonly alignBytes?: number;
  /** Offset of the first tensor of a region. @default 0 */
  readonly startBytes?: number;
  /** Number of tensors after which a new region begins. @default one region */
  readonly tensorsPerRegion?: number;
}

/** Metas of a rank whose pool holds the tensors one after another. */
export function poolOf(rank: number, specs: readonly TensorSpec[], options: PoolOptions = {}): RankMetas {
  const { alignBytes = 256, startBytes = 0, tensorsPerRegion = Number.POSITIVE_INFINITY } = options;
  const tensors: ParameterMeta[] = [];
  const regions: { sizeBytes: number }[] = [];
  let endBytes = 0;
  for (const [index, spec] of specs.entries()) {
    if (index === 0 || index % tensorsPerRegion === 0) {
      regions.push({ sizeBytes: 0 });
      endBytes = startBytes;
    }
    const offsetBytes = startBytes + Math.ceil((endBytes - startBytes) / alignBytes) * alignBytes;
    tensors.push({ ...spec, region: regions.length - 1, offsetBytes });
    endBytes = offsetBytes + spec.sizeBytes;
    regions[regions.length - 1] = { sizeBytes: endBytes };
  }
  return { checkpoint: 'c', rank, host: 'h0', deviceUuid: `HOST-0-${rank}`, nics: [], regions, tensors };
}
