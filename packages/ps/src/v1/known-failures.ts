/** A known failure of an engine's loader, with a hint. */
interface KnownFailure {
  /** Matches the traceback. */
  readonly pattern: RegExp;
  readonly hint: string;
}

const NEEDS_RECEIVER =
  'The engine replaced the parameters of its quantized layers after it had loaded them, so its own loader cannot load ' +
  'them a second time. Install the receiver in the environment of the engine (pip install checkpoint-engine-worker) and start ' +
  'the engine with it, or restart the engine with the new weights. Until then it may hold old and new weights';

const KNOWN_FAILURES: readonly KnownFailure[] = [
  // vLLM calls methods of its own parameter classes, which plain parameters do not have.
  {
    pattern: /AttributeError: '(?:Parameter|Tensor)' object has no attribute '(?:load_\w+|weight_loader\w*|\w+_dim)'/,
    hint: NEEDS_RECEIVER,
  },
  // The scales were merged or renamed.
  {
    pattern: /KeyError: '[^']*\.(?:\w*_scale\w*|\w*scales|qweight|qzeros|g_idx|weight_packed|weight_zero_point)'/,
    hint: NEEDS_RECEIVER,
  },
];

/** Returns the hint for a traceback of a worker, if the failure is known. */
export function hintOf(traceback: string): string | undefined {
  return KNOWN_FAILURES.find(({ pattern }) => pattern.test(traceback))?.hint;
}
