import type { WorldPhase } from './progress-state.ts';

/** The activity of a world in each phase, as shown to users. */
export const PHASE_TEXT: Readonly<Record<WorldPhase, string>> = {
  register: 'reading the checkpoint',
  plan: 'planning',
  handshake: 'waiting for the workers',
  stream: 'streaming into the engines',
  release: 'workers release the buffer',
  hook: 'workers finish loading',
  done: 'done',
};
