/**
 * What the native packages of checkpoint-engine share: the loader of addons and the way of their errors into
 * TypeScript. The C++ headers lie in `include/ce/`, the build rules in `addon.mk`.
 *
 * @packageDocumentation
 */
export * from './load-addon.ts';
export * from './native-error.ts';
