/**
 * The receiving side of checkpoint-engine for inference engines written in TypeScript.
 *
 * @packageDocumentation
 */
export { CopyingWorker, type CopyingWorkerOptions, copyingWorker } from './copying-worker.ts';
export type { HeldTensor } from './held-tensor.ts';
export { HeldVersion } from './held-version.ts';
export type { IncomingTensor } from './incoming-tensor.ts';
export type { IncomingUpdate } from './incoming-update.ts';
export type { ListenAddress } from './listen.ts';
export type { Declaration, PulledSlice } from './pull/declaration.ts';
export { type CheckpointTensor, type KeptSlice, sliceAlong, wholeOf } from './pull/kept-slice.ts';
export { Puller, type PullerOptions, type PullReport } from './pull/puller.ts';
export type { OnUpdate } from './receive-on-all.ts';
export { type ReceiveOptions, receiveUpdate } from './receive-update.ts';
export { type ServeWorkerOptions, serveWorker, type WorkerServer } from './serve-worker.ts';
export type { TypedArray } from './typed-array.ts';
export { checkSocketPath, listenAtSocket } from './unix-socket.ts';
