/**
 * Parses and formats sizes: the part of this package that a command needs to parse its arguments.
 *
 * @packageDocumentation
 */
export { formatBytes } from './format-bytes.ts';
export { parseSize } from './parse-size.ts';
