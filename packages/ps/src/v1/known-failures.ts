/** A failure of an engine's loader that says what to do about it. */
interface KnownFailure {
  /** What the traceback has. */
  readonly pattern: RegExp;
  readonly hint: string;
}

const NEEDS_RECEIVER =
  'The engine replaced the parameters of its quantized layers after it had loaded them, so that its own loader cannot load ' +
  'them a second time. Install the receiver in the environment of the engine (pip install checkpoint-engine-worker) and start ' +
  'the engine with it, or restart the engine with the new weights. Until then it may hold old and new weights';

const KNOWN_FAILURES: readonly KnownFailure[] = [
  // vLLM calls methods of its own parameter classes, which plain parameters do not have.
  {
    pattern: /AttributeError: '(?:Parameter|Tensor)' object has no attribute '(?:load_\w+|weight_loader\w*|\w+_dim)'/,
    hint: NEEDS_RECEIVER,
  },
  // The scales were merged or got another name.
  {
    pattern: /KeyError: '[^']*\.(?:\w*_scale\w*|\w*scales|qweight|qzeros|g_idx|weight_packed|weight_zero_point)'/,
    hint: NEEDS_RECEIVER,
  },
];

/** What to do about a traceback of a worker, where that is known. */
export function hintOf(traceback: string): string | undefined {
  return KNOWN_FAILURES.find(({ pattern }) => pattern.test(traceback))?.hint;
}
