/**
 * A message from the demo to a worker's standard input, one JSON object per line. The end of the input ends the worker.
 */
export type ToDemoWorker = { readonly type: 'describe' };

/** One tensor of a worker. */
export interface HeldTensorInfo {
  /** SHA-256 in hexadecimal. */
  readonly digest: string;
  /** Address in the worker's memory, decimal. */
  readonly address: string;
}

/** A message from a demo worker on its standard output. */
export type FromDemoWorker =
  | { readonly type: 'listening' }
  | { readonly type: 'described'; readonly tensors: Readonly<Record<string, HeldTensorInfo>> };
