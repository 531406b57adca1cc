import type { Device, Store } from '@checkpoint-engine/interface';

/** The arguments of a factory. */
export interface MemberContext {
  readonly rank: number;
  readonly worldSize: number;
  /** A name that is common to the members of this world and unique among worlds. */
  readonly worldName: string;
}

/** The parts of every member. The member closes them. */
export interface MemberParts {
  readonly device: Device;
  /** The outermost scope of this world. @default a store that the suite provides */
  readonly store?: Store | undefined;
}
