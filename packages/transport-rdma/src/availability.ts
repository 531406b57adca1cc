import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { findPython, type MooncakePython } from './engine/find-python.ts';

/** Result of `mooncakeAvailability`. */
export type MooncakeAvailability =
  | ({ readonly available: true } & MooncakePython)
  | {
      readonly available: false;
      /** The searched places, then one line per place with its result. */
      readonly reason: string;
      /** How to install it. */
      readonly hint: string;
    };

/**
 * Checks whether this machine can run Mooncake's transfer engine, and finds the Python for it. Never throws.
 *
 * @param python The only interpreter to try.
 * @default those of the active environment and of the PATH
 */
export async function mooncakeAvailability(python?: string): Promise<MooncakeAvailability> {
  try {
    return { available: true, ...(await findPython(python)) };
  } catch (error) {
    if (!CheckpointEngineError.isInstance(error)) throw error;
    return { available: false, reason: [error.message, error.detail].filter(Boolean).join('\n'), hint: error.hint };
  }
}
