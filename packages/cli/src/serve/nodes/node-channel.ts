import { CheckpointEngineError, type Store, toCheckpointEngineError } from '@checkpoint-engine/interface';

/** Longest wait of one call; then it is made again. */
const WAIT_MS = 86_400_000;
const NOTHING: Uint8Array = new Uint8Array();

/** What a {@link NodeChannel} is made of. */
export interface NodeChannelOptions<In> {
  /** Of two hosts. */
  readonly scope: Store;
  /** Which of the two this is: `down` is what the first host says. */
  readonly says: 'down' | 'up';
  readonly onMessage: (message: In) => void;
}

/**
 * Messages between two hosts, in their order, over a scope of a store: as encrypted and as quick to notice a loss as
 * that is. What is said meets who listens in an all-gather of two; what gathers meanwhile goes together.
 */
export class NodeChannel<Out, In> {
  /** Resolves with why it ended. */
  readonly closed: Promise<CheckpointEngineError>;
  readonly #options: NodeChannelOptions<In>;
  #outgoing: Out[] = [];
  #sending: Promise<void> = Promise.resolve();
  #isSending = false;
  #close!: (reason: CheckpointEngineError) => void;
  #isClosed = false;

  constructor(options: NodeChannelOptions<In>) {
    this.#options = options;
    this.closed = new Promise((resolve) => {
      this.#close = resolve;
    });
    void this.#receive();
  }

  send(message: Out): void {
    if (this.#isClosed) return;
    this.#outgoing.push(message);
    if (!this.#isSending) this.#sending = this.#flush();
  }

  /** Resolves when all that was said has been heard, or never will be. */
  async flushed(): Promise<void> {
    await this.#sending;
  }

  /** Ends it on both sides. Idempotent. */
  async close(): Promise<void> {
    const reason = new CheckpointEngineError('CE_CLOSED', 'The connection of two hosts was closed', 'Start it again');
    this.#end(reason);
    await this.#options.scope.abort(reason).catch(() => {});
    await this.#options.scope.close();
  }

  async #flush(): Promise<void> {
    this.#isSending = true;
    try {
      // What is said in the same turn goes together.
      await Promise.resolve();
      while (this.#outgoing.length > 0 && !this.#isClosed) {
        const batch = new TextEncoder().encode(JSON.stringify(this.#outgoing));
        this.#outgoing = [];
        await this.#options.scope.allGather(this.#options.says, batch, { timeoutMs: WAIT_MS });
      }
    } catch (error) {
      this.#end(toCheckpointEngineError(error));
    } finally {
      this.#isSending = false;
    }
  }

  async #receive(): Promise<void> {
    const { scope, says, onMessage } = this.#options;
    const hears = says === 'down' ? 'up' : 'down';
    try {
      while (!this.#isClosed) {
        const values = await scope.allGather(hears, NOTHING, { timeoutMs: WAIT_MS }).catch(nothingWhenIdle);
        const batch = values.find(({ byteLength }) => byteLength > 0);
        if (!batch) continue;
        for (const message of JSON.parse(new TextDecoder().decode(batch)) as In[]) {
          if (!this.#isClosed) onMessage(message);
        }
      }
    } catch (error) {
      this.#end(toCheckpointEngineError(error));
    }
  }

  #end(reason: CheckpointEngineError): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#close(reason);
  }
}

function nothingWhenIdle(error: unknown): Uint8Array[] {
  if (CheckpointEngineError.isInstance(error) && error.code === 'CE_TIMEOUT') return [];
  throw error;
}
