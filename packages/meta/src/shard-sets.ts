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

const SHARD = /^(.*?)(\d+)([-_]of[-_])(\d+)(.*\.safetensors)$/i;
/** Sets with more shards than this are ignored: the number in a name is untrusted input. */
const MAX_TOTAL = 100_000;

/** Groups numbered names into sets, in the order of their first names. Other names belong to no set. */
export function shardSets(names: readonly string[]): ShardSet[] {
  const sets = new Map<
    string,
    { readonly names: string[]; readonly numbers: number[] } & Omit<ShardSet, 'names' | 'numbers'>
  >();
  for (const name of names) {
    const [, before, number, of, total, after] = SHARD.exec(name) ?? [];
    if (number === undefined || Number(total) > MAX_TOTAL) continue;
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
  /** Names of the missing parts; empty if the set has too many parts. */
  readonly missing: readonly string[];
}

/** Finds the sets that are not complete. Parts count from 1, or from 0 if a part has the number 0. */
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
