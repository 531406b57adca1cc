/** The options of `bench update --engine vllm`. */
export interface EngineScenarioOptions {
  /** Two checkpoints of one model with different weights: updates alternate between them. */
  readonly checkpoints: readonly [string, string];
  /** Name of the model in results. */
  readonly modelName: string;
  /** A running server. @default a server is started */
  readonly endpoint?: string | undefined;
  readonly python: string;
  readonly device: 'cuda' | 'host';
  readonly ranks: number;
  readonly updates: number;
  readonly peer: boolean;
  /** Updates of the Python tool's first process; the second one makes a single one. @default `updates` */
  readonly peerUpdates?: number | undefined;
  /**
   * Whether the server of `endpoint` was started with the first checkpoint, so that updates with it change no weights.
   */
  readonly loaded: boolean;
  /** Whether our updates use the receiver, which the server must have. The Python tool never uses it. */
  readonly throughReceiver: boolean;
  /** Arguments of a vLLM server that is started. */
  readonly engineArgs: readonly string[];
  /** The ways to update with our tool: `cli`, `cli-registered`, `serve`. */
  readonly ways: readonly Way[];
  /** Further arguments of our commands, one measurement per entry. */
  readonly variants: readonly string[];
  readonly json?: string | undefined;
  readonly brief?: boolean | undefined;
}

/** A way to update an engine with our tool. */
export type Way = 'cli' | 'cli-registered' | 'serve';
