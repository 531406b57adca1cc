/**
 * The command `checkpoint-engine` as a function, and what other programs of this project use of it: ranks as supervised
 * processes, traces, and checkpoints to try things out with.
 *
 * @packageDocumentation
 */
export { type ExitCode, runCli } from './cli.ts';
export { type MadeCheckpoint, type MakeCheckpointOptions, makeCheckpoint } from './demo/make-checkpoint.ts';
export { modelTensors } from './demo/model-tensors.ts';
export { processTerminal, type Terminal } from './output/terminal.ts';
export { type TraceEvent, traceEvents } from './trace/trace-events.ts';
