import type { RangeKey } from './key.ts';
import { PeerLink } from './peer-link.ts';

/** The control channels of this endpoint to owners, one per owner. */
export class Links {
  readonly #token: string | undefined;
  readonly #timeoutMs: number;
  readonly #links = new Map<string, Promise<PeerLink>>();

  constructor(token: string | undefined, timeoutMs: number) {
    this.#token = token;
    this.#timeoutMs = timeoutMs;
  }

  /** Returns the channel to the owner of a range, and creates it if necessary. @throws As {@link PeerLink.connect} */
  to(peer: string, key: RangeKey): Promise<PeerLink> {
    const name = `${peer} ${key.port} ${key.incarnation} ${key.secret}`;
    const known = this.#links.get(name);
    if (known !== undefined) return known;
    const link = PeerLink.connect(peer, key, this.#token, this.#timeoutMs);
    this.#links.set(name, link);
    const forget = (): void => {
      if (this.#links.get(name) === link) this.#links.delete(name);
    };
    link.then((made) => made.signal.addEventListener('abort', forget, { once: true }), forget);
    return link;
  }

  close(): void {
    for (const link of this.#links.values()) link.then((made) => made.close()).catch(() => {});
    this.#links.clear();
  }
}
