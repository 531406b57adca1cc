import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { countOf, fieldsOf } from './replies.ts';

/** The draft model of a vLLM server. */
export interface VllmDraft {
  /** Whether the draft model comes from the target's checkpoint. */
  readonly loadsDraft?: boolean | undefined;
  /** The draft model if it has a separate checkpoint, otherwise `null`. */
  readonly keptDraft?: string | null | undefined;
  /** Number of pipeline stages. vLLM has its draft model only on the last stage. */
  readonly stages?: number | undefined;
}

/** Methods of speculation without weights. For some of them, vLLM reports the target model as the draft model. */
const WITHOUT_WEIGHTS: ReadonlySet<unknown> = new Set([
  'ngram',
  'ngram_gpu',
  'suffix',
  'custom_class',
  'extract_hidden_states',
]);

/**
 * Reads the draft model from a server's configuration. A draft model from the target's path or address is a part of the
 * target's checkpoint. Updates do not change other draft models.
 */
export function draftIn({
  model_config,
  speculative_config,
  parallel_config,
}: Readonly<Record<string, unknown>>): VllmDraft {
  const { method, draft_model_config } = fieldsOf(speculative_config);
  const draft = WITHOUT_WEIGHTS.has(method) ? undefined : sourceOf(draft_model_config);
  const loadsDraft = draft !== undefined && draft === sourceOf(model_config);
  const stages = countOf(fieldsOf(parallel_config).pipeline_parallel_size);
  return { loadsDraft, keptDraft: loadsDraft || typeof draft !== 'string' ? undefined : draft, stages };
}

/**
 * Checks that the routes of the weight-transfer backend can fill the draft model. vLLM starts its second pass on all
 * workers, fails on those without a draft model, and then refuses all later updates.
 *
 * @throws `CE_NOT_SUPPORTED`
 */
export function checkDraftPass({ loadsDraft = false, stages = 1 }: VllmDraft): void {
  if (!loadsDraft || stages === 1) return;
  throw new CheckpointEngineError(
    'CE_NOT_SUPPORTED',
    `The draft model of vLLM is on the last of its ${stages} pipeline stages, and the weight-transfer backend cannot fill it there`,
    'Start vLLM with the worker extension of checkpoint-engine-worker, see docs/update-vllm.md',
  );
}

/** Returns where a model comes from. `model` is a local copy if `model_weights` has an address. */
function sourceOf(config: unknown): unknown {
  const { model, model_weights } = fieldsOf(config);
  return model_weights || model;
}

/** Returns the draft model that workers name, `null` if they have none, or `undefined` if they do not report it. */
export function draftOf(workers: readonly Readonly<Record<string, unknown>>[]): string | null | undefined {
  const drafts = workers.map(({ keptDraft }) => keptDraft);
  const named = drafts.find((draft) => typeof draft === 'string' && draft !== '');
  if (typeof named === 'string') return named;
  return drafts.every((draft) => draft === null) ? null : undefined;
}
