/**
 * Shared code of the native packages of checkpoint-engine: the loader of addons and the conversion of their errors to
 * TypeScript. The C++ headers are in `include/ce/`, the build rules in `addon.mk`.
 *
 * @packageDocumentation
 */
export * from './load-addon.ts';
export * from './native-error.ts';
