/**
 * What travels on the control channel: the reader says hello, both prove that they know the key, then the reader asks
 * for leases. A connection that ends gives its leases back.
 */
export interface Hello {
  readonly incarnation: string;
  readonly nonce: string;
}

/** The owner's answer to {@link Hello}. Another incarnation proves nothing: the key is not its own. */
export type Welcome =
  | { readonly incarnation: string; readonly address: string; readonly nonce: string; readonly proof: string }
  | { readonly another: true };

/** The reader's answer to {@link Welcome}. */
export interface Entry {
  readonly proof: string;
}

/** A reader's request. */
export type Request =
  | {
      readonly op: 'lease';
      readonly id: number;
      /** Number, address and size of each range. */
      readonly ranges: readonly (readonly [number, string, number])[];
      /** After so long the owner need not wait for the reader any more. */
      readonly ttlMs: number;
    }
  | { readonly op: 'release'; readonly id: number; readonly lease: number };

/** `lease`: the lease's number, or the range that is not registered. `release`: whether it was held all the time. */
export type Reply =
  | { readonly id: number; readonly lease: number }
  | { readonly id: number; readonly unknown: number }
  | { readonly id: number; readonly held: boolean };

export const mostHandshakeBytes: number = 1024;
export const mostMessageBytes: number = 64 << 20;
