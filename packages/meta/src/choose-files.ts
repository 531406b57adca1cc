import { join } from 'node:path';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { firstGaps, incompleteSets, type ShardSet, shardSets } from './shard-sets.ts';

/** The files that make up a checkpoint, and warnings about them. */
export interface FileChoice {
  readonly names: readonly string[];
  /** One sentence per warning. */
  readonly warnings: readonly string[];
}

type Kind = 'model' | 'consolidated' | 'adapter' | 'training';

const TRAINING =
  /(^|[-_.])(optimi[sz]er|optim|lr_scheduler|scheduler|grad_scaler|scaler|rng_state|random_states|training_args|trainer_state|training_state)s?(_states?)?([-_.]|\d|$)/i;
const ADAPTER = /^(adapter_model|adapters?)([-_.]|\d|$)|(^|[-_.])lora(_weights)?$/i;
const CONSOLIDATED = /^consolidated([-_.]|\d|$)/i;
/** Matches the common names of a whole model, or of one part of it. */
const MODEL = /^(pytorch_)?model([-_.]|\d|$)/i;
const SHARD_NUMBER = /[-_.]?\d+[-_. ]?of[-_. ]?\d+/i;
const HINT =
  'Keep the files of one checkpoint only, or write model.safetensors.index.json, which maps each tensor to its file';

/**
 * Chooses the files of a checkpoint among the safetensors files of a folder without an index, by their names. Files of
 * another kind are left out with a warning: adapters, training state, and the consolidated format if the
 * folder also has the usual one.
 *
 * @throws `CE_CHECKPOINT_EMPTY` all files are of other kinds; `CE_FILE_NOT_FOUND` a shard is missing;
 *   `CE_FILE_INVALID` the names indicate files of several checkpoints.
 */
export function chooseFiles(folder: string, names: readonly string[]): FileChoice {
  const byKind = groupBy(names);
  const of = (kind: Kind): readonly string[] => byKind.get(kind) ?? [];
  const [model, consolidated] = [of('model'), of('consolidated')];
  const chosen = model.length > 0 ? model : consolidated;
  if (chosen.length === 0) throw otherKind(folder, of('adapter'), of('training'));
  if (model.length > 0 && consolidated.length > 0 && !model.every((name) => MODEL.test(name))) {
    throw ambiguous(folder, [...model, ...consolidated]);
  }
  checkSets(folder, chosen);
  const leftOut = (files: readonly string[], why: string): string[] =>
    files.map((name) => `File "${join(folder, name)}" is left out: ${why}`);
  return {
    names: chosen,
    warnings: [
      ...leftOut(model.length > 0 ? consolidated : [], 'it holds the same model in the consolidated format'),
      ...leftOut(of('adapter'), 'it is an adapter, which must be merged into the model'),
      ...leftOut(of('training'), 'it is training state, not part of the model'),
      ...(chosen.includes('model.safetensors') && chosen.length > 1
        ? [`Folder "${folder}" has no index: its ${chosen.length} safetensors files are read as one checkpoint`]
        : []),
      ...firstGaps(chosen).map(
        (name) => `File "${join(folder, name)}" may be missing: the numbers of its neighbors skip it`,
      ),
    ],
  };
}

function groupBy(names: readonly string[]): Map<Kind, string[]> {
  const groups = new Map<Kind, string[]>();
  for (const name of names) groups.set(kindOf(name), [...(groups.get(kindOf(name)) ?? []), name]);
  return groups;
}

function kindOf(name: string): Kind {
  const stem = name.replace(/\.safetensors$/, '').replace(SHARD_NUMBER, '');
  if (TRAINING.test(stem)) return 'training';
  if (ADAPTER.test(stem)) return 'adapter';
  return CONSOLIDATED.test(name) ? 'consolidated' : 'model';
}

/** Checks that the files are one complete set of numbered shards, or that none of them is a numbered shard. */
function checkSets(folder: string, names: readonly string[]): void {
  const sets = shardSets(names);
  if (sets.length === 0) return;
  const sharded = sets.reduce((sum, { names: own }) => sum + own.length, 0);
  if (sets.length > 1 || sharded < names.length) throw ambiguous(folder, names, sets);
  const [incomplete] = incompleteSets(names);
  if (incomplete === undefined) return;
  const { missing, missingCount, total } = incomplete;
  if (missingCount === 0) throw ambiguous(folder, names, sets);
  throw new CheckpointEngineError(
    'CE_FILE_NOT_FOUND',
    `Folder "${folder}" lacks ${missingCount} of ${total} shards: ${listed(missing, missingCount)}`,
    'Download or copy the missing files, and wait until all files are complete',
    { file: join(folder, missing[0]!) },
  );
}

function ambiguous(folder: string, names: readonly string[], sets: readonly ShardSet[] = []): CheckpointEngineError {
  const sharded = new Set(sets.flatMap((set) => set.names));
  const parts = [
    ...sets.map((set) => `${set.pattern} (${set.names.length} of ${set.total})`),
    ...names.filter((name) => !sharded.has(name)),
  ];
  return new CheckpointEngineError(
    'CE_FILE_INVALID',
    `Folder "${folder}" has no index, and its safetensors files belong to several sets: ${listed(parts)}`,
    HINT,
    { file: folder },
  );
}

function otherKind(folder: string, adapters: readonly string[], training: readonly string[]): CheckpointEngineError {
  const isAdapter = adapters.length > 0;
  return new CheckpointEngineError(
    'CE_CHECKPOINT_EMPTY',
    `Folder "${folder}" has ${isAdapter ? 'an adapter (LoRA)' : 'training state'} but not a model: ${listed(isAdapter ? adapters : training)}`,
    isAdapter
      ? 'Merge the adapter into its base model, and pass the folder of the merged model'
      : 'Pass the folder that holds the weights',
    { file: folder },
  );
}

/** Lists at most ten names, and says how many more there are. `names` may be the first of `count`. */
export function listed(names: readonly string[], count: number = names.length): string {
  const shown = names.slice(0, 10).join(', ');
  return count > 10 ? `${shown} and ${count - 10} more` : shown;
}
