import type { Logger } from '@checkpoint-engine/interface';
import type { Updates } from '../updates.ts';
import type { RankWorld } from '../world.ts';
import type { UpdateBody } from './bodies.ts';
import { Meetings } from './meetings.ts';
import { MetasThread } from './metas-thread.ts';
import { joinedUpdate } from './update-request.ts';

/** Options of {@link ToolCalls}. */
export interface ToolCallsOptions {
  readonly world: RankWorld;
  readonly updates: Updates;
  readonly logger: Logger;
  /** Fires when the server ends. */
  readonly closing: AbortSignal;
}

/** The common state of all ranks of the Python tool's routes: their joint operations, and the latest metas. */
export class ToolCalls {
  readonly gatherings: Meetings<null>;
  readonly updates: Meetings<UpdateBody>;
  readonly #options: ToolCallsOptions;
  readonly #thread = new MetasThread();
  /** The checkpoint whose metas were gathered or loaded last: the tool knows those of one at a time. */
  #current: { readonly name: string; readonly isLoaded: boolean } | undefined;

  constructor(options: ToolCallsOptions) {
    const { world, logger, closing } = options;
    this.#options = options;
    closing.addEventListener('abort', () => this.#thread.close(), { once: true });
    const shared = { worldSize: world.worldSize, logger };
    this.gatherings = new Meetings({ ...shared, what: 'gather-metas', run: (name) => this.#gather(name) });
    this.updates = new Meetings({ ...shared, what: 'update', run: (name, calls) => this.#update(name, calls) });
  }

  /** The metas that were gathered or loaded last, as JSON. */
  async metas(): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#current === undefined) return new TextEncoder().encode('{}');
    return await this.#thread.toJson(await this.#options.world.exportMetas(this.#current.name));
  }

  /**
   * Loads metas from JSON. Every rank receives the same ones, so only the first call changes anything.
   *
   * @throws {BodyError} @throws `CE_METAS_INVALID`
   */
  async load(body: Uint8Array<ArrayBuffer>): Promise<void> {
    const { name, encoded } = await this.#thread.fromJson(body);
    await this.#options.world.importMetas(name, encoded);
    this.#current = { name, isLoaded: true };
  }

  async #gather(name: string): Promise<void> {
    const { world, closing } = this.#options;
    const held = this.#find(name);
    // A name that no rank has registered is gathered before metas are loaded.
    if (held === undefined) {
      this.#current = undefined;
      return;
    }
    const absent = Array.from({ length: world.worldSize }, (_, rank) => rank).filter(
      (rank) => !held.ranks.some((share) => share.rank === rank),
    );
    await Promise.all(absent.map((rank) => world.registerAt(name, rank, [], { signal: closing })));
    await world.gatherMetas(name, { signal: closing });
    this.#current = { name, isLoaded: false };
  }

  /** Loaded metas have the name of their checkpoint in the other world, which may differ from the name here. */
  async #update(name: string, calls: ReadonlyMap<number, UpdateBody>): Promise<void> {
    const { updates } = this.#options;
    const isHere = this.#find(name) !== undefined;
    const held = !isHere && this.#current?.isLoaded ? this.#current.name : name;
    const update = updates.submit(held, joinedUpdate(calls), 'wait');
    await update.ended;
    if (update.error) throw update.error;
  }

  #find(name: string) {
    return this.#options.world.checkpoints().find((checkpoint) => checkpoint.name === name);
  }
}
