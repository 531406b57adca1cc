/** What the demo writes to a worker's standard input, one JSON object a line. The input's end ends the worker. */
export type ToDemoWorker = { readonly type: 'describe' };

/** What a worker holds of one tensor. */
export interface HeldTensorInfo {
  /** SHA-256, hexadecimal. */
  readonly digest: string;
  /** Where it lies in the worker's memory, decimal. */
  readonly address: string;
}

/** What a demo worker writes to its standard output. */
export type FromDemoWorker =
  | { readonly type: 'listening' }
  | { readonly type: 'described'; readonly tensors: Readonly<Record<string, HeldTensorInfo>> };
