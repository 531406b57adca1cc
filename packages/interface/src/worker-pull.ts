import type { DeviceKind } from './device.ts';

/**
 * The pull extension of worker protocol 2: a worker reports which bytes of which tensors it keeps, and copies exactly
 * those from host memory that the parameter server shares. Nothing passes through a bucket, except the tensors that
 * the engine's own loader needs as a whole.
 *
 * ```
 * server                                       worker
 *                                           <- hello      with `pull`: the worker offers the extension
 * survey    which checkpoint             ->
 *                                           <- surveyed   whether the worker knows these metas
 * metas     in parts, if it does not     ->
 *                                           <- needs      in parts
 * regions   memory to map, in parts      ->
 *                                           <- mapped     the copy table is ready, or the worker needs the places
 * welcome, ready, bucket, ack, release, released          if buckets follow, as without the extension
 * pull      these bytes are available    ->
 *                                           <- pulled     the parameters hold them
 * finish                                 ->
 *                                           <- finished
 * prove     compare the held bytes       ->
 *                                           <- proved
 * digest    asks for digests             ->
 *                                           <- digested
 * confirm   as without the extension     ->
 *                                           <- confirmed
 * bye                                    ->
 * ```
 *
 * An update with whole buckets leaves out `regions` and `pull`. A session with the intent `prepare` ends with `bye`
 * after `mapped`, or after `proved`. A session with the intent `verify` has `survey`, `needs`, `digest` and `bye`: the
 * worker keeps its weights, its records and its mapped regions. It reports an error if it has no proved record of
 * these tensors: `CE_NOT_SUPPORTED`, or `CE_ENGINE_MISMATCH` after `metas` that name other tensors. A session that only
 * asks for a report has `report`, `reported` and `bye`; a worker that was asked to connect for a report alone offers
 * nothing else in its hello. After `abort` the worker answers `aborted` once no copy reads a region any more, and
 * disconnects.
 */
export const WORKER_PULL_VERSION = 1;

/** Maximum bytes of the columns of one part, so that a frame stays within its limit. */
export const PULL_PART_LIMITS: {
  /** `metas` and `regions`. */
  readonly fromServerBytes: number;
  /** `needs`. */
  readonly fromWorkerBytes: number;
  /** Maximum number of parts of one message. */
  readonly parts: number;
  /** Maximum number of windows of one `digest`. */
  readonly windows: number;
} = { fromServerBytes: 8 * 1024 * 1024, fromWorkerBytes: 512 * 1024, parts: 512, windows: 32_768 };

/** In `hello`: the worker supports the pull extension. */
export interface PullOffer {
  readonly version: number;
  /** The worker can also compare in parts, see {@link ServerProve}. @default false */
  readonly provesParts?: boolean | undefined;
  /** The worker answers {@link ServerReport}. @default false */
  readonly reports?: boolean | undefined;
  /** The worker also answers {@link ServerDigest}. @default false */
  readonly digests?: boolean | undefined;
}

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

/** The checkpoint of the session. The first message to a worker that supports the pull extension. */
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
  /**
   * Identifies the list of tensors: equal for equal names, dtypes and shapes in the same order. Opaque to the worker.
   */
  readonly metasDigest: string;
  readonly tensorCount: number;
  /** Version of the weights, if the caller gave one. */
  readonly version?: string | undefined;
}

/** The tensors of the checkpoint, in columns of equal length. A tensor's index counts across all parts. */
export interface ServerMetas extends PartOf {
  readonly type: 'metas';
  readonly names: readonly string[];
  /** Names in the spelling of safetensors. */
  readonly dtypes: readonly string[];
  readonly shapes: readonly (readonly number[])[];
  /** Bytes. */
  readonly sizes: readonly number[];
}

/** Memory to map, and the bytes that it holds. Every part lists all regions. */
export interface ServerRegions extends PartOf {
  readonly type: 'regions';
  /** Identifies regions and places together. Opaque to the worker. */
  readonly layoutDigest: string;
  readonly regions: readonly PullRegion[];
  /** Absent if the worker may know the places by the digest. */
  readonly places?: PlacesColumns | undefined;
}

/** Bytes are ready to be copied: those of the whole layout, or those of `places` that the worker needs. */
export interface ServerPull {
  readonly type: 'pull';
  /** Position in the update, 0 and up. One pull is in flight at a time. */
  readonly index: number;
  readonly places?: PlacesColumns | undefined;
}

/**
 * The layout, or these places, hold the data that the worker just loaded: it compares, and from now on pulls the parts
 * that are equal. It answers every part with `proved`, and decides with the last one.
 */
export interface ServerProve {
  readonly type: 'prove';
  readonly places?: PlacesColumns | undefined;
  /** More parts follow. Only for a worker whose offer has `provesParts`. @default false */
  readonly more?: boolean | undefined;
}

/**
 * Asks what the worker decided for its modules. The first message of a session, in place of `survey`, and only for a
 * worker whose offer has `reports`. Nothing is loaded, recorded, mapped or written; `bye` ends the session.
 */
export interface ServerReport {
  readonly type: 'report';
}

/**
 * Asks for digests of the worker's data in windows: ranges of tensors in columns of equal length, u32 for `tensor` and
 * u64 for the others, sorted by tensor and offset, without overlap. Sent after `finished`, or in a session that
 * prepares. One message is in flight at a time.
 */
export interface ServerDigest {
  readonly type: 'digest';
  /** Position in the session, 0 and up. */
  readonly index: number;
  readonly tensor: Uint8Array;
  /** Bytes from the start of the tensor. */
  readonly offset: Uint8Array;
  readonly size: Uint8Array;
}

/** The session is over. */
export interface ServerBye {
  readonly type: 'bye';
  /** The regions stay mapped until the server disconnects, or another session sends different regions. */
  readonly keep: boolean;
}

/** The worker's knowledge of the checkpoint. */
export interface WorkerSurveyed {
  readonly type: 'surveyed';
  /** The server need not send the metas. */
  readonly known: boolean;
  /** The worker has compared the pulled bytes with the result of the engine's loader. */
  readonly proved: boolean;
  /** Identifies engine, model and placement: while it is equal, needs are equal. */
  readonly fingerprint: string;
  /** The live parameters hold a checkpoint of this version: a session that prepares may prove. */
  readonly holds?: string | undefined;
}

/** The parts that the worker keeps. `rest` and `summary` are in the last part, and empty or absent in others. */
export interface WorkerNeeds extends PartOf, NeedsColumns {
  readonly type: 'needs';
  readonly summary?: NeedsSummary | undefined;
}

/** The regions are mapped, and page-locked if the device requires it. */
export interface WorkerMapped {
  readonly type: 'mapped';
  /** The worker does not know the layout: the server must send its regions again, with places. */
  readonly needPlaces: boolean;
}

/** The parameters hold the bytes of one pull: the server may overwrite their places. */
export interface WorkerPulled {
  readonly type: 'pulled';
  readonly index: number;
  /** Bytes that were copied. */
  readonly bytes: number;
  readonly durationMs: number;
}

/** Result of the comparison. */
export interface WorkerProved {
  readonly type: 'proved';
  /** Needs of the next session include the proved tensors. */
  readonly proved: boolean;
  readonly summary: NeedsSummary;
}

/** Answer to {@link ServerReport}. */
export interface WorkerReported {
  readonly type: 'reported';
  /** The worker knows which bytes it keeps. */
  readonly recorded: boolean;
  /** Parts of the model are pulled. */
  readonly proved: boolean;
  /** State of the weights before this session. */
  readonly weights: 'initial' | 'loaded' | 'updating' | 'unknown';
  /** The checkpoint that is loaded, and the update that loaded it. */
  readonly checkpoint?: string | undefined;
  readonly updateId?: string | undefined;
  /**
   * One line about the engine: its release, the model, the worker's place in it. May be empty; absent while the engine
   * sleeps.
   */
  readonly engine?: string | undefined;
  /** The worker can pull. @default true */
  readonly pulls?: boolean | undefined;
  /** Version of its weights, as in the hello, and the package that it runs. */
  readonly weightVersion?: string | undefined;
  readonly package?: string | undefined;
  readonly version?: string | undefined;
  /** Parts of the engine that have no memory now: its sleep mode has taken it. */
  readonly asleep?: readonly string[] | undefined;
  readonly fingerprint?: string | undefined;
  /** Absent while nothing is recorded. */
  readonly summary?: NeedsSummary | undefined;
}

/** Digests by window, in columns of u64. If the needs contain a box several times, its bytes count several times. */
export interface WorkerDigested {
  readonly type: 'digested';
  readonly index: number;
  /** Sum modulo 2^64 of the digests (`digestBytes`) of the bytes that the worker holds unchanged. */
  readonly digest: Uint8Array;
  /** Number of those bytes: fewer than the needs have if the engine holds some in another form. */
  readonly bytes: Uint8Array;
}

/** Answer to an abort: no copy reads a region any longer. */
export interface WorkerAborted {
  readonly type: 'aborted';
}

/** Messages of a server with the pull extension, in addition to those of buckets. */
export type ServerPullMessage =
  | ServerSurvey
  | ServerReport
  | ServerMetas
  | ServerRegions
  | ServerPull
  | ServerProve
  | ServerDigest
  | ServerBye;

/** Messages of a worker with the pull extension, in addition to those of buckets. */
export type WorkerPullMessage =
  | WorkerSurveyed
  | WorkerNeeds
  | WorkerMapped
  | WorkerPulled
  | WorkerProved
  | WorkerReported
  | WorkerDigested
  | WorkerAborted;
