/** The dtypes, by their safetensors names. */
export const DTYPES = [
  'BOOL',
  'U8',
  'I8',
  'F8_E5M2',
  'F8_E4M3',
  'F8_E8M0',
  'F8_E4M3FNUZ',
  'F8_E5M2FNUZ',
  'I16',
  'U16',
  'F16',
  'BF16',
  'I32',
  'U32',
  'F32',
  'C64',
  'F64',
  'I64',
  'U64',
  'F4',
  'F6_E2M3',
  'F6_E3M2',
] as const;

/** A dtype by its safetensors name. */
export type DType = (typeof DTYPES)[number];

const BITS: ReadonlyMap<unknown, number> = new Map<DType, number>([
  ['F4', 4],
  ['F6_E2M3', 6],
  ['F6_E3M2', 6],
  ['BOOL', 8],
  ['U8', 8],
  ['I8', 8],
  ['F8_E5M2', 8],
  ['F8_E4M3', 8],
  ['F8_E8M0', 8],
  ['F8_E4M3FNUZ', 8],
  ['F8_E5M2FNUZ', 8],
  ['I16', 16],
  ['U16', 16],
  ['F16', 16],
  ['BF16', 16],
  ['I32', 32],
  ['U32', 32],
  ['F32', 32],
  ['C64', 64],
  ['F64', 64],
  ['I64', 64],
  ['U64', 64],
]);

/** Checks whether `value` names a dtype. */
export function isDType(value: unknown): value is DType {
  return BITS.has(value);
}

/**
 * Returns the bits of one element. Packed dtypes have fewer than 8.
 *
 * @throws {RangeError} `dtype` is not a known dtype.
 * @source safetensors 0.8.0 `Dtype::bitsize`
 */
export function dtypeBits(dtype: DType): number {
  const bits = BITS.get(dtype);
  if (bits === undefined) throw new RangeError(`Unknown dtype "${dtype}", expected one of ${DTYPES.join(', ')}`);
  return bits;
}
