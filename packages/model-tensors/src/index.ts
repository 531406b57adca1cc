/**
 * The tensor lists of published models, for tests and benchmarks.
 *
 * @packageDocumentation
 */
export { MODEL_NAMES, type Model, type ModelName, modelOf } from './models.ts';
export { scaleTensors } from './scale-tensors.ts';
export { totalBytes } from './tensors.ts';
