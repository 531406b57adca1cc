import { CheckpointEngineError } from '@checkpoint-engine/interface';

/** Bytes of a unit, by its lower-case name. */
const UNIT_BYTES: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ['b', 1],
  ['kb', 1e3],
  ['mb', 1e6],
  ['gb', 1e9],
  ['tb', 1e12],
  ['pb', 1e15],
  ['kib', 2 ** 10],
  ['mib', 2 ** 20],
  ['gib', 2 ** 30],
  ['tib', 2 ** 40],
  ['pib', 2 ** 50],
]);

const SIZE = /^(\d+(?:\.\d+)?(?:e\+?\d+)?) ?([a-z]*)$/;

/**
 * Parses a size in its usual notation: `512MiB`, `2 GiB`, `1.5GB`, `8e9`, `1048576`.
 *
 * `KB`, `MB` and so on are powers of 1000, `KiB`, `MiB` and so on powers of 1024; case does not matter. The function
 * rejects a unit without its `B`, because tools disagree on the meaning of `2G`. It rounds fractions of a byte down.
 *
 * @returns Bytes, an integer of at least 0.
 * @throws {CheckpointEngineError} `CE_CONFIG_INVALID`: the text is not a size, or the size exceeds the safe integers.
 */
export function parseSize(text: string): number {
  const [, digits, unit] = SIZE.exec(text.trim().toLowerCase()) ?? [];
  const bytes = Math.floor(Number(digits) * (UNIT_BYTES.get(unit ?? '') ?? Number.NaN));
  if (!Number.isSafeInteger(bytes)) {
    throw new CheckpointEngineError(
      'CE_CONFIG_INVALID',
      `"${text}" is not a size: expected a number of bytes, or a number with a unit (KB, MB, GB, TB, PB, KiB, MiB, GiB, TiB, PiB)`,
      'Write it like 512MiB, 2GiB, 1.5GB, 8e9 or 1048576',
    );
  }
  return bytes;
}
