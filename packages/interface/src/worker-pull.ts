import type { DeviceKind } from './device.ts';

/**
 * The pull extension of worker protocol 2: a worker tells which bytes of which tensors it keeps, and copies exactly
 * those out of host memory that the parameter server shares. Nothing passes through a bucket, except the tensors that
 * the engine's own loader has to see whole.
 *
 * ```
 * server                                       worker
 *                                           <- hello      with `pull`: the worker offers the extension
 * survey    which checkpoint             ->
 *                                           <- surveyed   whether the worker knows these metas
 * metas     in parts, where it does not  ->
 *                                           <- needs      in parts
 * regions   memory to map, in parts      ->
 *                                           <- mapped     the copy table is ready, or the places are needed
 * welcome, ready, bucket, ack, release, released          where buckets come, as without the extension
 * pull      these bytes are there        ->
 *                                           <- pulled     they are in the parameters
 * finish                                 ->
 *                                           <- finished
 * prove     compare what is held         ->
 *                                           <- proved
 * bye                                    ->
 * ```
 *
 * An update with whole buckets leaves out `regions` and `pull`. A session with the intent `prepare` ends with `bye`
 * after `mapped`, or after `proved`. After `abort` the worker answers `aborted` once no copy reads a region any more,
 * and hangs up.
 */
export const WORKER_PULL_VERSION = 1;

/** Most bytes of the columns of one part, so that a frame stays within its limit. */
export const PULL_PART_LIMITS: {
  /** `metas` and `regions`. */
  readonly fromServerBytes: number;
  /** `needs`. */
  readonly fromWorkerBytes: number;
  /** Most parts of one message. */
  readonly parts: number;
} = { fromServerBytes: 8 * 1024 * 1024, fromWorkerBytes: 512 * 1024, parts: 512 };

/** In `hello`: the worker can pull. */
export interface PullOffer {
  readonly version: number;
  /** It compares what comes in parts, too: see {@link ServerProve}. @default false */
  readonly provesParts?: boolean | undefined;
}

/** What a session is for: an update, or what an update would otherwise have to wait for. */
export type PullIntent = 'update' | 'prepare';

/** Position of a message among those that belong together, 0 and up. */
export interface PartOf {
  readonly part: number;
  /** 1 and up. */
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
  /** Tensors that have to come whole through the engine's loader. No box names them. */
  readonly rest: Uint8Array;
}

/** Ranges of tensors in columns: u32 for `tensor` and `region`, u64 for the others. Sorted by tensor, then by offset. */
export interface PlacesColumns {
  readonly tensor: Uint8Array;
  /** From the start of the tensor. */
  readonly tensorOffset: Uint8Array;
  readonly size: Uint8Array;
  /** Id of the region. */
  readonly region: Uint8Array;
  /** From the start of the region. */
  readonly offset: Uint8Array;
}

/** What a worker found out about its model. */
export interface NeedsSummary {
  readonly modules: number;
  /** Modules whose bytes are pulled. */
  readonly direct: number;
  /** Modules that are loaded in their checkpoint format and processed by the engine. */
  readonly staged: number;
  /** Modules that only the engine's loader understands. */
  readonly opaque: number;
  /** At most 100 lines of a module's name, a tab, and why it is not direct. */
  readonly reasons: string;
  readonly recordedMs: number;
  readonly provedMs: number;
}

/** Host memory that the worker maps to read from. */
export interface PullRegion {
  /** Names the region in places; u32, unique in the message. */
  readonly id: number;
  /** For `Device.openShared`: the name of a segment of host memory. */
  readonly handle: Uint8Array;
  readonly sizeBytes: number;
}

/** Which checkpoint the session is about. The first message to a worker that offers to pull. */
export interface ServerSurvey {
  readonly type: 'survey';
  readonly protocol: number;
  readonly intent: PullIntent;
  readonly checkpoint: string;
  readonly updateId: string;
  /** Rank of the server, 0 and up. */
  readonly rank: number;
  readonly deviceKind: DeviceKind;
  readonly deviceUuid: string;
  /** Names the list of tensors: equal for equal names, dtypes and shapes in the same order. Opaque to the worker. */
  readonly metasDigest: string;
  readonly tensorCount: number;
  /** Version of the weights, where the caller gave one. */
  readonly version?: string | undefined;
}

/** The tensors of the checkpoint, in columns of equal length. A tensor's index counts over all parts. */
export interface ServerMetas extends PartOf {
  readonly type: 'metas';
  readonly names: readonly string[];
  /** As safetensors spells them. */
  readonly dtypes: readonly string[];
  readonly shapes: readonly (readonly number[])[];
  /** Bytes. */
  readonly sizes: readonly number[];
}

/** Memory to map, and which bytes are in it. Every part has all regions. */
export interface ServerRegions extends PartOf {
  readonly type: 'regions';
  /** Names regions and places together. Opaque to the worker. */
  readonly layoutDigest: string;
  readonly regions: readonly PullRegion[];
  /** Absent when the worker may know them by the digest. */
  readonly places?: PlacesColumns | undefined;
}

/** Bytes are there to be copied: all of the layout, or what `places` says and of that what the worker needs. */
export interface ServerPull {
  readonly type: 'pull';
  /** Position in the update, 0 and up. One pull is in flight at a time. */
  readonly index: number;
  readonly places?: PlacesColumns | undefined;
}

/**
 * The layout holds what the worker was just loaded with, or these places do: compare, and pull what is equal from now
 * on. Every part is answered with `proved`; the worker decides with the last.
 */
export interface ServerProve {
  readonly type: 'prove';
  readonly places?: PlacesColumns | undefined;
  /** More parts follow. Only to a worker whose offer has `provesParts`. @default false */
  readonly more?: boolean | undefined;
}

/** The session is over. */
export interface ServerBye {
  readonly type: 'bye';
  /** The regions stay mapped until the server hangs up, or another session names others. */
  readonly keep: boolean;
}

/** What the worker knows of the checkpoint. */
export interface WorkerSurveyed {
  readonly type: 'surveyed';
  /** The metas need not be sent. */
  readonly known: boolean;
  /** What is pulled was compared with what the engine's loader makes of it. */
  readonly proved: boolean;
  /** Names engine, model and placement: needs are the same while it is. */
  readonly fingerprint: string;
  /** Its live parameters hold a checkpoint of this version: a session that prepares may prove. */
  readonly holds?: string | undefined;
}

/** What the worker keeps. `rest` and `summary` are in the last part, and empty or absent in others. */
export interface WorkerNeeds extends PartOf, NeedsColumns {
  readonly type: 'needs';
  readonly summary?: NeedsSummary | undefined;
}

/** The regions are mapped, and page-locked where that matters. */
export interface WorkerMapped {
  readonly type: 'mapped';
  /** The layout is not known: the server sends its regions again, with places. */
  readonly needPlaces: boolean;
}

/** The bytes of one pull are in the parameters: their places may be overwritten. */
export interface WorkerPulled {
  readonly type: 'pulled';
  readonly index: number;
  /** That were copied. */
  readonly bytes: number;
  readonly durationMs: number;
}

/** What comparing found. */
export interface WorkerProved {
  readonly type: 'proved';
  /** Needs of the next session name what was proved. */
  readonly proved: boolean;
  readonly summary: NeedsSummary;
}

/** After an abort: no copy reads a region any more. */
export interface WorkerAborted {
  readonly type: 'aborted';
}

/** What a server that pulls says beside the messages of buckets. */
export type ServerPullMessage = ServerSurvey | ServerMetas | ServerRegions | ServerPull | ServerProve | ServerBye;

/** What a worker that pulls says beside the messages of buckets. */
export type WorkerPullMessage =
  | WorkerSurveyed
  | WorkerNeeds
  | WorkerMapped
  | WorkerPulled
  | WorkerProved
  | WorkerAborted;
