import type { SerializedError } from '@checkpoint-engine/interface';
import type { RegisteredCheckpoint } from '@checkpoint-engine/ps';
import type { CheckpointView, ShareState } from './world.ts';

/** A checkpoint of a world of one rank. */
export interface Entry {
  readonly name: string;
  /** Absent if only metas were imported. */
  readonly files?: string | readonly string[] | undefined;
  state: ShareState;
  hasMetas: boolean;
  /** Whether metas were gathered before all bytes were in memory. */
  mustGather?: boolean;
  /** Whether the metas are those of another world. */
  isImported?: boolean;
  registration?: { readonly stop: (reason: Error) => void; readonly ended: Promise<void> };
  isUpdating?: boolean;
  /** The version that it was given: here, or in the world that holds it. */
  readonly weightVersion?: string | undefined;
  /** Known once the headers are read. */
  registered?: RegisteredCheckpoint;
  error?: SerializedError;
}

/** A checkpoint as the API shows it. */
export function viewOf({ name, weightVersion, files, state, hasMetas, registered, error }: Entry): CheckpointView {
  const { tensorCount = 0, sizeBytes = 0, poolBytes = 0, warnings = [] } = registered ?? {};
  const ranks = files === undefined ? [] : [{ rank: 0, state, tensorCount, sizeBytes, poolBytes, error }];
  return { name, weightVersion, state, files, hasMetas, tensorCount, sizeBytes, warnings, ranks };
}
