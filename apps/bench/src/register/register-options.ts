import type { CheckpointOptions } from '../checkpoints/bench-checkpoint.ts';
import type { PublishOptions } from '../report/publish.ts';

/** The options of `bench register`. */
export interface RegisterScenarioOptions extends CheckpointOptions, PublishOptions {
  readonly device: 'cuda' | 'host';
  readonly threads: number;
  readonly rounds: number;
  /** Whether to also measure the Python tool and the safetensors library. */
  readonly peer: boolean;
  readonly python: string;
}
