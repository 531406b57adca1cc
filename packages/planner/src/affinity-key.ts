/**
 * Decides which tensors an engine's loader must receive in one call. Loaders keep halves of a fused parameter only
 * until the call ends, and silently drop a half whose other half does not arrive: the engine then keeps old or random
 * weights.
 *
 * The rules depend on the form of names, not on models. These tensors form one group each:
 *
 * 1. All tensors of an attention block (`layers.3.self_attn.`, `blocks.0.attn.`, `layers.7.linear_attn.`, ...).
 * 2. All parameters of one module: `weight`, `bias`, and the companions of a quantized weight, such as
 *    `weight_scale_inv`, `input_scale`, `qweight`, `qzeros`, `scales`, `weight_packed`.
 * 3. A parameter with its own name, and its companions: `gate_up_proj`, `gate_up_proj_scales`.
 *
 * @packageDocumentation
 */

/** Matches a path segment that names an attention block. */
const ATTENTION = /attn|attention/;

/** Matches text that every such segment contains: a quick test of the whole name. */
const ATTENTION_HINT = 'att';

/** Matches the main parameter, which most modules have once. */
const WEIGHT = '.weight';

/** Matches suffixes that mark a parameter as a companion of a weight, once or several times: `weight_scale_inv`. */
const COMPANION =
  /(?:_(?:scale|scales|inv|2|global|block|blocks|packed|shape|type|bias|zero|zeros|point|zero_point|g_idx|offset))+$/;

/** Matches the rest of a parameter's name if it does not distinguish the parameter from others of its module. */
const MODULE_PARAMETER =
  /^(?:q?weight.*|q?scales?|q?zeros?|qzeros|bias|g_idx|perm|blocks|(?:input|output|act|activation|pre_quant|[qkv]|kv)(?:_.*)?)$/;

/**
 * Returns the key of a tensor's group. The planner never splits tensors of equal keys over owners or buckets.
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

/** Whether a tensor is the weight of a module outside of attention; no other tensor of its group has that suffix. */
export function isModuleWeight(name: string): boolean {
  return name.endsWith(WEIGHT) && !name.includes(ATTENTION_HINT);
}

/** Returns the group key of a tensor for which {@link isModuleWeight} is true. */
export function keyOfModuleWeight(name: string): string {
  return name.slice(0, -WEIGHT.length);
}

/** Returns the path up to the attention block within its layer, or `undefined` if the tensor is not in one. */
function attentionBlock(name: string): string | undefined {
  const path = name.split('.').slice(0, -1);
  const layer = path.findIndex((segment) => /^\d+$/.test(segment));
  const isBlock = (segment: string, at: number): boolean => at > layer && ATTENTION.test(segment);
  const block = path.findIndex(isBlock);
  return block === -1 ? undefined : path.slice(0, block + 1).join('.');
}
