import type { CheckpointOptions } from '../checkpoints/bench-checkpoint.ts';
import type { PublishOptions } from '../report/publish.ts';

/** What `bench register` is asked to do. */
export interface RegisterScenarioOptions extends CheckpointOptions, PublishOptions {
  readonly device: 'cuda' | 'host';
  readonly threads: number;
  readonly rounds: number;
  /** Beside the Python tool and the safetensors library. */
  readonly peer: boolean;
  readonly python: string;
}
