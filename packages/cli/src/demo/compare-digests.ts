/** The comparison of a worker's tensors with the files. Plain data. */
export interface Comparison {
  readonly worker: number;
  /** Tensors with the right bytes. */
  readonly equalCount: number;
  /** Names of tensors with wrong bytes. */
  readonly different: readonly string[];
  /** Names of tensors that the worker lacks. */
  readonly missing: readonly string[];
  /** Names of tensors that no file contains. */
  readonly unexpected: readonly string[];
}

/** Compares digests of a worker's tensors with digests of the files, both by name. */
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

/** Whether the worker holds exactly the tensors of the files, with the right bytes. */
export function isEqual({ different, missing, unexpected }: Comparison): boolean {
  return different.length + missing.length + unexpected.length === 0;
}
