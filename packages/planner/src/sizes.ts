/**
 * Sizes as people write and read them: the part of this package that a command needs before it knows what it is asked.
 *
 * @packageDocumentation
 */
export { formatBytes } from './format-bytes.ts';
export { parseSize } from './parse-size.ts';
