import { type TensorSpec, tensorBytes } from '@checkpoint-engine/meta';
import { SCALE_SUFFIX, scaleShape, totalBytes } from './tensors.ts';

/** Precision of the search for the factor: 2^-40 of a terabyte is a byte. */
const STEPS = 40;

/**
 * Scales a model to at most `sizeBytes`. Names, dtypes, numbers of dimensions and the number of tensors stay the same.
 * The function multiplies the rows (first dimension) of tensors with two or more dimensions by one common factor and
 * rounds them, to at least one row; vectors stay the same; scale matrices keep one scale for each block of their scaled
 * matrix. The factor is the largest with which the model fits, and at most 1.
 *
 * @throws {RangeError} One row of each tensor exceeds the size.
 */
export function scaleTensors(tensors: readonly TensorSpec[], sizeBytes: number): TensorSpec[] {
  if (totalBytes(tensors) <= sizeBytes) return [...tensors];
  const kinds = kindsOf(tensors);
  const minBytes = scaledBytes(kinds, 0);
  if (minBytes > sizeBytes) {
    throw new RangeError(`One row of each tensor has ${minBytes} bytes, expected at most ${sizeBytes}`);
  }
  let [fits, tooLarge] = [0, 1];
  for (let step = 0; step < STEPS; step++) {
    const factor = (fits + tooLarge) / 2;
    if (scaledBytes(kinds, factor) <= sizeBytes) fits = factor;
    else tooLarge = factor;
  }
  return withMatrices(tensors).map(([tensor, matrix]) => ({ ...tensor, shape: shrink(tensor, matrix, fits) }));
}

/** A tensor, and for a scale matrix its matrix. */
type WithMatrix = readonly [tensor: TensorSpec, matrix: TensorSpec | undefined];

/** Tensors that scale alike, with their count: a model of 100,000 tensors has a few dozen kinds. */
function kindsOf(tensors: readonly TensorSpec[]): { readonly like: WithMatrix; count: number }[] {
  const kinds = new Map<string, { readonly like: WithMatrix; count: number }>();
  for (const like of withMatrices(tensors)) {
    const [{ dtype, shape }, matrix] = like;
    const key = `${dtype} ${shape.join()} ${matrix?.shape.join()}`;
    const kind = kinds.get(key);
    if (kind) kind.count += 1;
    else kinds.set(key, { like, count: 1 });
  }
  return [...kinds.values()];
}

/** Scale matrices follow their matrices. */
function withMatrices(tensors: readonly TensorSpec[]): WithMatrix[] {
  return tensors.map((tensor, index) => {
    const before = tensors[index - 1];
    return [tensor, tensor.name === `${before?.name}${SCALE_SUFFIX}` ? before : undefined];
  });
}

function scaledBytes(kinds: ReturnType<typeof kindsOf>, factor: number): number {
  return kinds.reduce((sum, { like, count }) => sum + count * tensorBytes(like[0].dtype, shrink(...like, factor)), 0);
}

function shrink({ shape }: TensorSpec, matrix: TensorSpec | undefined, factor: number): readonly number[] {
  if (matrix !== undefined) {
    const [rows, columns] = shrink(matrix, undefined, factor);
    return scaleShape(rows!, columns!);
  }
  const [rows, ...columns] = shape;
  return columns.length === 0 ? shape : [Math.max(1, Math.round(rows! * factor)), ...columns];
}
