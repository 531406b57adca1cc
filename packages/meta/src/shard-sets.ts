/** Files whose names number them as parts of one whole: `model-00001-of-00003.safetensors`. */
export interface ShardSet {
  /** The name with an asterisk in place of the number. */
  readonly pattern: string;
  readonly total: number;
  readonly names: readonly string[];
  readonly numbers: readonly number[];
  /** Returns the name of the part with this number. */
  nameOf(number: number): string;
}

const SHARD = /^(.*?)(\d+)([-_. ]?of[-_. ]?)(\d+)(.*\.safetensors)$/i;
/** Most missing parts that are named. The number of parts in a name is untrusted input. */
const NAMED = 10;

/** Groups numbered names into sets, in the order of their first names. Other names belong to no set. */
export function shardSets(names: readonly string[]): ShardSet[] {
  const sets = new Map<
    string,
    { readonly names: string[]; readonly numbers: number[] } & Omit<ShardSet, 'names' | 'numbers'>
  >();
  for (const name of names) {
    const [, before, number, of, total, after] = SHARD.exec(name) ?? [];
    if (number === undefined) continue;
    const pattern = `${before}*${of}${total}${after}`;
    // Numbers of another width come from another writer.
    const key = `${pattern}:${number.length}`;
    const set = sets.get(key) ?? {
      pattern,
      total: Number(total),
      names: [],
      numbers: [],
      nameOf: (wanted) => `${before}${String(wanted).padStart(number.length, '0')}${of}${total}${after}`,
    };
    sets.set(key, set);
    set.names.push(name);
    set.numbers.push(Number(number));
  }
  return [...sets.values()];
}

/** An incomplete set, or one with too many parts. */
export interface IncompleteSet extends ShardSet {
  /** Number of missing parts; 0 if the set has too many parts. */
  readonly missingCount: number;
  /** Names of the first missing parts. */
  readonly missing: readonly string[];
}

/** Finds the sets that are not complete. Parts count from 1, or from 0 if a part has the number 0. */
export function incompleteSets(names: readonly string[]): IncompleteSet[] {
  return shardSets(names).flatMap((set) => {
    const first = set.numbers.includes(0) ? 0 : 1;
    const present = new Set(set.numbers);
    const isWanted = (number: number): boolean => number >= first && number < first + set.total;
    const missingCount = set.total - [...present].filter(isWanted).length;
    if (missingCount === 0 && present.size === set.total) return [];
    const missing: string[] = [];
    for (let number = first; missing.length < Math.min(missingCount, NAMED); number++) {
      if (!present.has(number)) missing.push(set.nameOf(number));
    }
    return [{ ...set, missingCount, missing }];
  });
}

const NUMBERED = /^(.*[-_.])(\d+)\.safetensors$/i;

/**
 * Finds gaps in files that are numbered without a total, such as `model-0` and `model-2`. Returns the name of the first
 * missing file of each series. A series begins with 0 or 1.
 */
export function firstGaps(names: readonly string[]): string[] {
  const series = new Map<string, string[]>();
  for (const name of names) {
    const [, before, digits] = NUMBERED.exec(name) ?? [];
    if (before !== undefined && digits !== undefined) series.set(before, [...(series.get(before) ?? []), digits]);
  }
  return [...series].flatMap(([before, digits]) => {
    const numbers = new Set(digits.map(Number));
    let next = numbers.has(0) ? 0 : 1;
    while (numbers.has(next)) next++;
    const isWhole = Math.max(...numbers) < next;
    const width = digits[0]!.startsWith('0') ? digits[0]!.length : 0;
    return digits.length < 2 || isWhole ? [] : [`${before}${String(next).padStart(width, '0')}.safetensors`];
  });
}
