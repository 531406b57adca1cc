/**
 * Which tensors an engine's loader has to be given in one call. Loaders keep halves of a fused parameter only until the
 * call ends, and drop a half whose other half does not come: no error, and the engine keeps old or random weights.
 *
 * The rules go by the form of names, not by models:
 *
 * 1. All tensors of an attention block (`layers.3.self_attn.`, `blocks.0.attn.`, `layers.7.linear_attn.`, ...).
 * 2. All parameters of one module: `weight`, `bias`, and what belongs to a quantized weight, such as `weight_scale_inv`,
 *    `input_scale`, `qweight`, `qzeros`, `scales`, `weight_packed`.
 * 3. A parameter that has a name of its own, and its companions: `gate_up_proj`, `gate_up_proj_scales`.
 *
 * @packageDocumentation
 */

/** A segment of a path that names an attention block. */
const ATTENTION = /attn|attention/;

/** What such a segment cannot be without: a quick test of the whole name. */
const ATTENTION_HINT = 'att';

/** The parameter that most modules have one of. */
const WEIGHT = '.weight';

/** Ends of a parameter's name that say what it is to a weight, once or several times: `weight_scale_inv`. */
const COMPANION =
  /(?:_(?:scale|scales|inv|2|global|block|blocks|packed|shape|type|bias|zero|zeros|point|zero_point|g_idx|offset))+$/;

/** What is left of a parameter's name that has nothing to tell apart from the other parameters of its module. */
const MODULE_PARAMETER =
  /^(?:q?weight.*|q?scales?|q?zeros?|qzeros|bias|g_idx|perm|blocks|(?:input|output|act|activation|pre_quant|[qkv]|kv)(?:_.*)?)$/;

/**
 * The name of the group that a tensor belongs to: tensors of equal keys are never split over owners or buckets.
 *
 * @example
 * ```ts
 * affinityKey('model.layers.3.self_attn.q_a_proj.weight_scale_inv'); // 'model.layers.3.self_attn'
 * affinityKey('model.layers.3.mlp.experts.7.up_proj.weight_scale_inv'); // 'model.layers.3.mlp.experts.7.up_proj'
 * affinityKey('model.layers.3.mlp.experts.gate_up_proj_scales'); // 'model.layers.3.mlp.experts.gate_up_proj'
 * ```
 */
export function affinityKey(name: string): string {
  const block = name.includes(ATTENTION_HINT) ? attentionBlock(name) : undefined;
  if (block !== undefined) return block;
  const moduleEnd = name.lastIndexOf('.');
  const parameter = name.slice(moduleEnd + 1).replace(COMPANION, '');
  if (moduleEnd > 0 && MODULE_PARAMETER.test(parameter)) return name.slice(0, moduleEnd);
  return name.slice(0, moduleEnd + 1) + parameter;
}

/** Whether a tensor is the weight of a module outside of attention: nothing else of its group ends like it. */
export function isModuleWeight(name: string): boolean {
  return name.endsWith(WEIGHT) && !name.includes(ATTENTION_HINT);
}

/** The key of the group that {@link isModuleWeight} tensor belongs to. */
export function keyOfModuleWeight(name: string): string {
  return name.slice(0, -WEIGHT.length);
}

/** The path up to the attention block within its layer, or `undefined` where the tensor is in none. */
function attentionBlock(name: string): string | undefined {
  const path = name.split('.').slice(0, -1);
  const layer = path.findIndex((segment) => /^\d+$/.test(segment));
  const isBlock = (segment: string, at: number): boolean => at > layer && ATTENTION.test(segment);
  const block = path.findIndex(isBlock);
  return block === -1 ? undefined : path.slice(0, block + 1).join('.');
}
