export { v1Protocol } from './v1-protocol.ts';
export type { V1Options } from './v1-session.ts';
