/**
 * The command `checkpoint-engine` as a function, and the parts that other programs of this project use: traces, and
 * checkpoints and ports for tests.
 *
 * @packageDocumentation
 */
export { type ExitCode, runCli } from './cli.ts';
export { type MadeCheckpoint, type MakeCheckpointOptions, makeCheckpoint } from './demo/make-checkpoint.ts';
export { modelTensors } from './demo/model-tensors.ts';
export { processTerminal, type Terminal } from './output/terminal.ts';
export { freePort } from './process/free-port.ts';
export { type TraceEvent, traceEvents } from './trace/trace-events.ts';
