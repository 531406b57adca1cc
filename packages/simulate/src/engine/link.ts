/** Kinds of links, in the order in which bytes pass through them. */
export type LinkKind = 'file' | 'memory' | 'switch' | 'pcie' | 'nvlink' | 'nic-in' | 'nic-out' | 'spine';

/** A link, and the load that one byte per second of a flow puts on it. */
export type PathStep = readonly [link: number, weight: number];
/** A resource that flows pass through. */
export type Path = readonly PathStep[];

/** A link with its load. */
export interface Link {
  readonly index: number;
  readonly kind: LinkKind;
  readonly name: string;
  /** Capacity. */
  readonly bytesPerMs: number;
  readonly flows: Set<Flow>;
  /** Bytes of finished flows. */
  bytes: number;
  /** Time in which at least one flow used the link. */
  busyMs: number;
  busySinceMs: number;
  /** Working values of {@link shareFairly}: capacity, weights and number of the flows that have no rate yet. */
  leftBytesPerMs: number;
  openWeight: number;
  openFlows: number;
}

/** A transfer of bytes over several links. */
export interface Flow {
  readonly path: Path;
  readonly sizeBytes: number;
  leftBytes: number;
  /** Rate since `updatedMs`. */
  bytesPerMs: number;
  /** Working value of {@link shareFairly}: the new rate, -1 while it is not known. */
  nextBytesPerMs: number;
  updatedMs: number;
  /** Number of changes of the rate: an end that was scheduled before the last change is obsolete. */
  version: number;
  readonly onEnd: () => void;
}
