/** The options of `bench update --engine vllm`. */
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
  /** The server of `endpoint` was started with the first checkpoint, so updates with it must not change its weights. */
  readonly loaded: boolean;
  /** Our updates use the receiver, which the server must have. The Python tool never uses it. */
  readonly throughReceiver: boolean;
  /** Arguments of vLLM, where it is started. */
  readonly engineArgs: readonly string[];
  /** Our ways to measure: `cli`, `cli-registered`, `serve`. */
  readonly ways: readonly Way[];
  /** Further arguments of our commands, one measurement each. */
  readonly variants: readonly string[];
  readonly json?: string | undefined;
  readonly brief?: boolean | undefined;
}

/** How users update an engine with ours. */
export type Way = 'cli' | 'cli-registered' | 'serve';
