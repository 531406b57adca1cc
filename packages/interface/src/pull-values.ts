/**
 * The purpose of a session: an update, preparation that an update would otherwise wait for, or digests of what the
 * worker holds.
 */
export type PullIntent = 'update' | 'prepare' | 'verify';

/** Position of a message in its series of parts, 0 and up. */
export interface PartOf {
  readonly part: number;
  /** Number of parts, 1 and up. */
  readonly parts: number;
}

/**
 * Boxes of tensors in columns: little-endian numbers, u32 for `tensor` and `rest`, u64 for the others. Row `i` of a box
 * starts `offset + i * pitch` bytes into the tensor; a box of one row has `pitch` equal to `rowBytes`.
 */
export interface NeedsColumns {
  /** Position of the tensor in the metas. */
  readonly tensor: Uint8Array;
  readonly offset: Uint8Array;
  /** 1 and up. */
  readonly rows: Uint8Array;
  /** 1 and up. */
  readonly rowBytes: Uint8Array;
  /** Not less than `rowBytes`. */
  readonly pitch: Uint8Array;
  /** Tensors that must pass as a whole through the engine's loader. No box contains any of them. */
  readonly rest: Uint8Array;
}

/**
 * Ranges of tensors in columns: u32 for `tensor` and `region`, u64 for the others. Sorted by tensor, then by offset.
 */
export interface PlacesColumns {
  readonly tensor: Uint8Array;
  /** Bytes from the start of the tensor. */
  readonly tensorOffset: Uint8Array;
  readonly size: Uint8Array;
  /** Id of the region. */
  readonly region: Uint8Array;
  /** Bytes from the start of the region. */
  readonly offset: Uint8Array;
}

/** How a worker receives the parts of its model. */
export interface NeedsSummary {
  readonly modules: number;
  /** Number of modules whose bytes are pulled. */
  readonly direct: number;
  /** Number of modules that are loaded in their checkpoint format and processed by the engine. */
  readonly staged: number;
  /** Number of modules that only the engine's loader understands. */
  readonly opaque: number;
  /** At most 100 lines of a module's name, a tab, and the reason why it is not direct. */
  readonly reasons: string;
  readonly recordedMs: number;
  readonly provedMs: number;
  /** Of the direct modules, those that are proved through another module of their kind. @default 0 */
  readonly represented?: number | undefined;
  /** Number of kinds of modules that are proved through a representative. @default 0 */
  readonly kinds?: number | undefined;
  /** `loader`: the worker ran the engine's loader. `cache`: it read an earlier recording. */
  readonly source?: string | undefined;
}

/** Host memory that the worker maps to read from. */
export interface PullRegion {
  /** Identifies the region in places; u32, unique in the message. */
  readonly id: number;
  /** The argument of `Device.openShared`: the name of a segment of host memory. */
  readonly handle: Uint8Array;
  readonly sizeBytes: number;
}
