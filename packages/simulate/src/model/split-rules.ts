import { CheckpointEngineError } from '@checkpoint-engine/interface';

/**
 * How ranks of an engine divide a tensor: by rows (its first dimension, a "column-parallel" layer), by columns (its
 * second dimension, a "row-parallel" layer), by experts, or not at all.
 */
export type Split = 'column' | 'row' | 'expert' | 'replicated';

export const SPLITS: readonly Split[] = ['column', 'row', 'expert', 'replicated'];

/** Names of tensors, and how ranks divide them. */
export interface SplitRule {
  /** Pattern that is searched in a tensor's name. */
  readonly match: RegExp;
  readonly split: Split;
  /** Rows that a rank keeps together, such as an attention head; a rank keeps at least one. @default 1 */
  readonly unitRows?: number | undefined;
}

/** How vLLM and SGLang divide the models of this package. The first rule that matches counts; otherwise `replicated`. */
export const DEFAULT_RULES: readonly SplitRule[] = [
  { match: /\.experts\.\d+\./, split: 'expert' },
  { match: /\.(k_proj|v_proj)\./, split: 'column', unitRows: 128 },
  { match: /\.(q_proj|gate_proj|up_proj|q_b_proj|kv_b_proj|gate_up_proj|qkv_proj)\./, split: 'column' },
  { match: /\.(o_proj|down_proj)\.weight/, split: 'row' },
  { match: /(^|\.)(embed_tokens|lm_head|head)\.weight$/, split: 'column' },
];

/** Rules of a layout file. @throws {CheckpointEngineError} `CE_CONFIG_INVALID` */
export function parseRules(value: unknown): SplitRule[] {
  if (!Array.isArray(value)) throw invalid(`The rules of the layout are ${JSON.stringify(value)}, expected a list`);
  return value.map((rule: unknown, index) => {
    const { match, split, unitRows, ...rest } = (rule ?? {}) as Record<string, unknown>;
    const where = `Rule ${index + 1} of the layout`;
    const [other] = Object.keys(rest);
    if (other !== undefined) throw invalid(`${where} has an unknown field ${other}, expected match, split or unitRows`);
    if (typeof match !== 'string') throw invalid(`${where} has no match, expected a regular expression`);
    if (!SPLITS.includes(split as Split)) {
      throw invalid(`${where} has the split ${JSON.stringify(split)}, expected one of ${SPLITS.join(', ')}`);
    }
    if (unitRows !== undefined && !(Number.isInteger(unitRows) && (unitRows as number) > 0)) {
      throw invalid(`${where} has unitRows ${JSON.stringify(unitRows)}, expected an integer above 0`);
    }
    return { match: patternOf(match, where), split: split as Split, unitRows: unitRows as number | undefined };
  });
}

function patternOf(text: string, where: string): RegExp {
  try {
    return new RegExp(text);
  } catch (error) {
    throw invalid(`${where} has the match ${JSON.stringify(text)}: ${(error as Error).message}`);
  }
}

function invalid(what: string): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_CONFIG_INVALID',
    what,
    'Correct the layout; docs/simulate.md describes its rules',
  );
}
