/** Files that number themselves as parts of one whole: `model-00001-of-00003.safetensors`. */
export interface ShardSet {
  /** The name with an asterisk for the number. */
  readonly pattern: string;
  readonly total: number;
  readonly names: readonly string[];
  readonly numbers: readonly number[];
  /** The name of the part with this number. */
  nameOf(number: number): string;
}

const SHARD = /^(.*?)(\d+)([-_]of[-_])(\d+)(.*\.safetensors)$/i;
/** More shards than this are not looked for by name: a number in a name is not believed for good. */
const MAX_TOTAL = 100_000;

/** The sets that numbered names belong to, in the order of their first names. Other names are in none. */
export function shardSets(names: readonly string[]): ShardSet[] {
  const sets = new Map<
    string,
    { readonly names: string[]; readonly numbers: number[] } & Omit<ShardSet, 'names' | 'numbers'>
  >();
  for (const name of names) {
    const [, before, number, of, total, after] = SHARD.exec(name) ?? [];
    if (number === undefined || Number(total) > MAX_TOTAL) continue;
    const pattern = `${before}*${of}${total}${after}`;
    // Numbers of another width are those of another writer.
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

/** A set that is not whole. */
export interface IncompleteSet extends ShardSet {
  /** Names of the missing parts; none where there are parts too many. */
  readonly missing: readonly string[];
}

/** The sets that are not whole. Parts are counted from 1, or from 0 where a part has that number. */
export function incompleteSets(names: readonly string[]): IncompleteSet[] {
  return shardSets(names).flatMap((set) => {
    const first = set.numbers.includes(0) ? 0 : 1;
    const present = new Set(set.numbers);
    const wanted = Array.from({ length: set.total }, (_, index) => first + index);
    const missing = wanted.filter((number) => !present.has(number)).map((number) => set.nameOf(number));
    const isWhole = missing.length === 0 && present.size === set.total;
    return isWhole ? [] : [{ ...set, missing }];
  });
}
