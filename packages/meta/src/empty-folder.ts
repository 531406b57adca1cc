import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { listed } from './choose-files.ts';

/** The files that a folder may contain instead of safetensors files, and the hint for each case. */
const OTHERS: readonly (readonly [names: RegExp, what: string, hint: string])[] = [
  [
    /\.(bin|pt|pth|ckpt)$/,
    'has weights in PyTorch format only',
    'Convert them: save the model again with safe_serialization=True, or with safetensors.torch.save_file',
  ],
  [
    /\.safetensors$/i,
    'has files whose names do not end in ".safetensors" in lower case, or begin with a dot',
    'Rename these files if they hold the weights',
  ],
  [/\.gguf$/, 'has GGUF files (llama.cpp) only', 'Pass the safetensors files that they were converted from'],
  [/\.distcp$/, 'has a torch.distributed checkpoint only', 'Export it as safetensors from the training engine'],
  [/\.(h5|msgpack|npz|onnx|ot)$/, 'has weights in another format only', 'Convert them to safetensors'],
  [/^snapshots$/, 'is the cache of a Hugging Face repository', 'Pass one of the folders in "snapshots"'],
  [
    /\.(incomplete|part|partial|crdownload|download|aria2)$/,
    'has downloads that have not finished',
    'Wait until they are complete, or start them again',
  ],
  [/\.safetensors\.index\.json$/, 'has an index but no safetensors file', 'Download the files that the index names'],
];

/** Creates the error for a folder without a safetensors file. The message names what the folder holds instead. */
export function emptyFolder(path: string, names: readonly string[]): Error {
  const entries = names.length === 1 ? 'its 1 entry' : `its ${names.length} entries`;
  const none = `Folder "${path}" has no *.safetensors file among ${entries}`;
  for (const [pattern, what, hint] of OTHERS) {
    const found = names.filter((name) => pattern.test(name)).sort();
    if (found.length > 0) return empty(path, `${none}: it ${what} (${listed(found)})`, hint);
  }
  return empty(path, none, 'Pass the folder that holds the weights');
}

function empty(path: string, what: string, hint: string): Error {
  return new CheckpointEngineError('CE_CHECKPOINT_EMPTY', what, hint, { file: path });
}
