import type { WorldPhase } from './progress-state.ts';

/** What a world does in each phase, as people read it. */
export const PHASE_TEXT: Readonly<Record<WorldPhase, string>> = {
  register: 'reading the checkpoint',
  plan: 'planning',
  handshake: 'waiting for the workers',
  stream: 'streaming into the engines',
  release: 'workers let go of the buffer',
  hook: 'workers finish loading',
  done: 'done',
};
