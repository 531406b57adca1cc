/** What a worker holds, against what the files hold. Plain data. */
export interface Comparison {
  readonly worker: number;
  /** Tensors whose bytes are right. */
  readonly equalCount: number;
  /** Names of tensors with other bytes. */
  readonly different: readonly string[];
  /** Names of tensors that the worker does not have. */
  readonly missing: readonly string[];
  /** Names of tensors that are in no file. */
  readonly unexpected: readonly string[];
}

/** Compares the digests of a worker's tensors with those of the files, both by name. */
export function compareDigests(
  worker: number,
  held: ReadonlyMap<string, string>,
  files: ReadonlyMap<string, string>,
): Comparison {
  const different: string[] = [];
  const missing: string[] = [];
  for (const [name, digest] of files) {
    const other = held.get(name);
    if (other === undefined) missing.push(name);
    else if (other !== digest) different.push(name);
  }
  const unexpected = [...held.keys()].filter((name) => !files.has(name));
  return { worker, equalCount: files.size - different.length - missing.length, different, missing, unexpected };
}

/** Whether every tensor is there, with the right bytes, and nothing else. */
export function isEqual({ different, missing, unexpected }: Comparison): boolean {
  return different.length + missing.length + unexpected.length === 0;
}
