/**
 * The tensor lists of published models.
 *
 * @packageDocumentation
 */
export { MODEL_NAMES, type Model, type ModelName, modelOf } from './models.ts';
export { qwen3Moe30b } from './qwen3.ts';
export { scaleTensors } from './scale-tensors.ts';
export { totalBytes } from './tensors.ts';
