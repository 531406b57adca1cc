import type { DeviceKind } from './device.ts';
import type { PartOf, PlacesColumns, PullIntent, PullRegion } from './pull-values.ts';

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
