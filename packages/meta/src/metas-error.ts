import { CheckpointEngineError } from '@checkpoint-engine/interface';

const HINT = 'Gather the metas again, or use a complete metas file that this version wrote';

/** Creates the error for metas that contradict themselves, or bytes that are not metas. */
export function invalidMetas(
  what: string,
  options: { tensor?: string; hint?: string; cause?: unknown } = {},
): CheckpointEngineError {
  const { tensor, hint = HINT, cause } = options;
  const where = tensor === undefined ? 'Metas' : `Metas of tensor ${JSON.stringify(tensor)}`;
  return new CheckpointEngineError('CE_METAS_INVALID', `${where}: ${what}`, hint, { tensor, cause });
}
