/** What `bench update --engine vllm` is asked to do. */
export interface EngineScenarioOptions {
  /** Two checkpoints of one model with different weights: updates alternate between them. */
  readonly checkpoints: readonly [string, string];
  /** Name of the model in results. */
  readonly modelName: string;
  /** A server that runs already, instead of one that is started. */
  readonly endpoint?: string | undefined;
  readonly python: string;
  readonly device: 'cuda' | 'host';
  readonly ranks: number;
  readonly updates: number;
  readonly peer: boolean;
  /** Updates of the Python tool's first process; the second one makes a single one. @default `updates` */
  readonly peerUpdates?: number | undefined;
  /** The server of `endpoint` was started with the first checkpoint: updates with it have to leave what it has. */
  readonly loaded: boolean;
  /** Ours speak to the receiver of the server, which has to have it. The Python tool never does. */
  readonly throughReceiver: boolean;
  /** Arguments of vLLM, where it is started. */
  readonly engineArgs: readonly string[];
  /** `cli`, `cli-registered`, `serve`: what is measured of ours, and how. */
  readonly ways: readonly Way[];
  /** Further arguments of our commands, one measurement each. */
  readonly variants: readonly string[];
  readonly json?: string | undefined;
  readonly brief?: boolean | undefined;
}

/** How users update an engine with ours. */
export type Way = 'cli' | 'cli-registered' | 'serve';
