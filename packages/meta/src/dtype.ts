/** Dtypes by their safetensors names. */
export const DTYPES = [
  'BOOL',
  'U8',
  'I8',
  'F8_E5M2',
  'F8_E4M3',
  'F8_E8M0',
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
