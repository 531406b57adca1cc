import { Deferred } from '../util/deferred.ts';

/** The version of an update. It is known before the update, or when all bytes have been read. */
export class UpdateVersion {
  #known: string | undefined;
  readonly #settled = new Deferred<string>();

  /** @param known Absent if the version is known at the end. */
  constructor(known: string | undefined) {
    this.#known = known;
  }

  /** Absent while the version is not known. */
  get known(): string | undefined {
    return this.#known;
  }

  /** Resolves when the workers of all ranks hold the weights. Never rejects. */
  get settled(): Promise<string> {
    return this.#settled.promise;
  }

  /** The workers of all ranks hold the weights. A version that is known stays. */
  settle(version: string): void {
    this.#known ??= version;
    this.#settled.follow(this.#known);
  }
}
