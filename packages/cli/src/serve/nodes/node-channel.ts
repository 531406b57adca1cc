import { CheckpointEngineError, type Store, toCheckpointEngineError } from '@checkpoint-engine/interface';

/** Longest wait of one call, which is then repeated. */
const WAIT_MS = 86_400_000;
const NOTHING: Uint8Array = new Uint8Array();

/** The options of a {@link NodeChannel}. */
export interface NodeChannelOptions<In> {
  /** A scope of two hosts. */
  readonly scope: Store;
  /** The direction of this host's messages: `down` from host 0, `up` to it. */
  readonly sends: 'down' | 'up';
  readonly onMessage: (message: In) => void;
}

/**
 * Ordered messages between two hosts over a scope of a store, with the encryption and the failure detection of the
 * store. Each exchange is an all-gather of two; messages that collect meanwhile travel together.
 */
export class NodeChannel<Out, In> {
  /** Resolves with the reason of the end. */
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

  /** Resolves when all messages are delivered, or cannot be delivered any more. */
  async flushed(): Promise<void> {
    await this.#sending;
  }

  /** Closes the channel on both sides. Idempotent. */
  async close(): Promise<void> {
    const reason = new CheckpointEngineError('CE_CLOSED', 'The connection of two hosts was closed', 'Start it again');
    this.#end(reason);
    await this.#options.scope.abort(reason).catch(() => {});
    await this.#options.scope.close();
  }

  async #flush(): Promise<void> {
    this.#isSending = true;
    try {
      // Messages of the same turn travel together.
      await Promise.resolve();
      while (this.#outgoing.length > 0 && !this.#isClosed) {
        const batch = new TextEncoder().encode(JSON.stringify(this.#outgoing));
        this.#outgoing = [];
        await this.#options.scope.allGather(this.#options.sends, batch, { timeoutMs: WAIT_MS });
      }
    } catch (error) {
      this.#end(toCheckpointEngineError(error));
    } finally {
      this.#isSending = false;
    }
  }

  async #receive(): Promise<void> {
    const { scope, sends, onMessage } = this.#options;
    const receives = sends === 'down' ? 'up' : 'down';
    try {
      while (!this.#isClosed) {
        const values = await scope.allGather(receives, NOTHING, { timeoutMs: WAIT_MS }).catch(nothingWhenIdle);
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
