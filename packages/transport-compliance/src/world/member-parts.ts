import type { Device, Store } from '@checkpoint-engine/interface';

/** What a factory is told. */
export interface MemberContext {
  readonly rank: number;
  readonly worldSize: number;
  /** A name that the members of this world share with no other world. */
  readonly worldName: string;
}

/** What every member is made of. The member closes it all. */
export interface MemberParts {
  readonly device: Device;
  /** The outermost scope of this world. @default a store of the suite's own */
  readonly store?: Store | undefined;
}
