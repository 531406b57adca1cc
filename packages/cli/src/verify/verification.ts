import type { InstanceAnswer } from '@checkpoint-engine/http';
import type { VerifyReport } from '@checkpoint-engine/ps';
import type { DigestedFile } from '../digests/digest-file.ts';

/** The result of `verify`, as `verify --json` prints it. */
export interface Verification extends VerifyReport {
  /** Whether all compared bytes are equal. */
  readonly equal: boolean;
  /** The version of an update with this checkpoint, unless the update sets another one. */
  readonly derivedVersion?: string | undefined;
  /** The files that were read, with their SHA-256 on request. */
  readonly files?: readonly DigestedFile[] | undefined;
  /** Tensors of the checkpoint that have bytes. */
  readonly tensorCount?: number | undefined;
  /** The versions that the engines report. */
  readonly instances: readonly InstanceAnswer[];
  readonly worldSize?: number | undefined;
  readonly durationsMs: Readonly<Record<string, number>>;
  readonly warnings: readonly string[];
}

/** Returns the conclusion from a report. */
export function verdictOf({ differingCount, digest }: VerifyReport): Pick<Verification, 'equal' | 'derivedVersion'> {
  return { equal: differingCount === 0, derivedVersion: digest && `digest:${digest}` };
}

/** The exit status. @param strict Tensors that cannot be compared count as a difference. */
export function statusOf({ equal, unverifiedTensors }: Verification, strict: boolean): 0 | 1 {
  return equal && !(strict && unverifiedTensors > 0) ? 0 : 1;
}
