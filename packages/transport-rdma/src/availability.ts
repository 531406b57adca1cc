import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { findPython, type MooncakePython } from './engine/find-python.ts';

/** What `mooncakeAvailability` found. */
export type MooncakeAvailability =
  | ({ readonly available: true } & MooncakePython)
  | {
      readonly available: false;
      /** What was searched, then a line for what each place said. */
      readonly reason: string;
      /** How to install it. */
      readonly hint: string;
    };

/**
 * Tells whether this machine can run Mooncake's transfer engine, and by which Python. Never throws.
 *
 * @param python The only interpreter to look at. @default those of the active environment and of the PATH
 */
export async function mooncakeAvailability(python?: string): Promise<MooncakeAvailability> {
  try {
    return { available: true, ...(await findPython(python)) };
  } catch (error) {
    if (!CheckpointEngineError.isInstance(error)) throw error;
    return { available: false, reason: [error.message, error.detail].filter(Boolean).join('\n'), hint: error.hint };
  }
}
