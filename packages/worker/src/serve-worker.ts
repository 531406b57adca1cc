import { createHash, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import {
  CheckpointEngineError,
  type Device,
  type Logger,
  silentLogger,
  WORKER_PROTOCOL_VERSION,
} from '@checkpoint-engine/interface';
import { refuseBrowsers } from './browser-guard.ts';
import { HeldVersion } from './held-version.ts';
import { RequestProblem, readJson, sendJson, sendProblem } from './http-json.ts';
import { isLoopback, type ListenAddress, listen } from './listen.ts';
import type { Puller } from './pull/puller.ts';
import { type OnUpdate, receiveOnAll } from './receive-on-all.ts';
import { readUpdateRequest, type UpdateRequest } from './update-request.ts';
import { WeightsState } from './weights-state.ts';
import { asWorkerError } from './worker-error.ts';

const DEFAULT_TIMEOUT_MS = 300_000;

/** Options of {@link serveWorker}. */
export interface ServeWorkerOptions {
  /** The engine's devices. The caller must close them. */
  readonly devices: readonly Device[];
  /**
   * Loads an update into one device's model; called for all devices at the same time, and not for sessions that only
   * prepare later updates or verify weights. Read the tensors, then await
   * `update.finished(hook)`, or without an argument if there is no hook. An exception fails the update on all ranks.
   */
  readonly onUpdate: OnUpdate;
  readonly listen: ListenAddress;
  /** Whether to listen on other interfaces than the loopback. @default false */
  readonly allowRemote?: boolean | undefined;
  /** The token that callers of `POST /update` send as `Authorization: Bearer`. @default no token is required */
  readonly token?: string | undefined;
  /** As in `receiveUpdate`. */
  readonly credits?: number | undefined;
  /** Returns what the engine keeps on a device, as in `receiveUpdate`. Must return the same puller at each call. */
  readonly pullerOf?: ((device: Device) => Puller | undefined) | undefined;
  /** Time limit of an update without its own. @default 300_000 */
  readonly timeoutMs?: number | undefined;
  readonly logger?: Logger | undefined;
}

/** Lets a parameter server update the engine over HTTP: `POST /update` and `GET /healthz`. */
export class WorkerServer implements AsyncDisposable {
  readonly #options: ServeWorkerOptions;
  readonly #server: Server;
  readonly #logger: Logger;
  readonly #closing = new AbortController();
  readonly #weights = new WeightsState();
  readonly #held: ReadonlyMap<Device, HeldVersion>;
  #address: ListenAddress;
  #running: Promise<void> | undefined;

  /** @internal */
  constructor(options: ServeWorkerOptions) {
    this.#options = options;
    this.#held = new Map(options.devices.map((device) => [device, new HeldVersion()]));
    this.#address = options.listen;
    this.#logger = options.logger ?? silentLogger;
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch((error: unknown) => this.#refuse(response, error));
    });
  }

  /** The address, with the actual port. */
  get address(): ListenAddress {
    return this.#address;
  }

  /** @internal */
  async open(): Promise<void> {
    this.#address = await listen(this.#server, this.#options.listen, this.#options.allowRemote ?? false);
  }

  /** Aborts a running update, answers it, and stops listening. Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort(
      new CheckpointEngineError('CE_CLOSED', 'The worker is being closed', 'Start it, and run the update again'),
    );
    await this.#running?.catch(() => {});
    this.#server.closeIdleConnections();
    if (this.#server.listening) await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  /** The same as `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const address = this.#address;
    // Web pages cannot reach a Unix socket and do not know a token.
    if (!('path' in address) && this.#options.token === undefined) {
      refuseBrowsers(request, isLoopback(address.host ?? '127.0.0.1'));
    }
    const path = new URL(request.url ?? '/', 'http://worker').pathname;
    if (path === '/healthz') {
      if (request.method !== 'GET') throw new RequestProblem(405, 'Use GET');
      const devices = this.#options.devices.map((device) => device.uuid);
      sendJson(response, 200, { protocol: WORKER_PROTOCOL_VERSION, devices, updating: this.#running !== undefined });
      return;
    }
    if (path !== '/update' && path !== '/describe') {
      throw new RequestProblem(404, 'The routes are POST /update, GET /describe and GET /healthz');
    }
    const method = path === '/update' ? 'POST' : 'GET';
    if (request.method !== method) throw new RequestProblem(405, `Use ${method}`);
    if (!this.#isAllowed(request)) throw new RequestProblem(401, 'Send the token as Authorization: Bearer');
    if (path === '/describe') {
      sendJson(response, 200, this.#describe());
      return;
    }
    const asked = readUpdateRequest(await readJson(request), this.#options.devices);
    if (this.#running) throw new RequestProblem(409, 'Another update is running');
    this.#running = this.#update(asked).finally(() => {
      this.#running = undefined;
    });
    await this.#running;
    sendJson(response, 200, {});
  }

  /** Describes the engine and its weights. It changes nothing, and does not wait for a running update. */
  #describe(): object {
    const { devices, pullerOf } = this.#options;
    const workers = devices.map((device) => ({
      ...{ device: device.uuid, ...this.#weights.held, weightVersion: this.#held.get(device)!.version },
      pull: pullerOf?.(device)?.report() ?? null,
    }));
    return { package: '@checkpoint-engine/worker', protocols: [WORKER_PROTOCOL_VERSION], workers };
  }

  async #update({ addresses, timeoutMs }: UpdateRequest): Promise<void> {
    const { onUpdate, credits, pullerOf } = this.#options;
    const startMs = performance.now();
    let hasSucceeded = false;
    this.#weights.begin();
    try {
      await receiveOnAll({
        addresses,
        onUpdate,
        onReceive: (update) => this.#weights.receive(update),
        credits,
        pullerOf,
        heldOf: (device) => this.#held.get(device)!,
        timeoutMs: timeoutMs ?? this.#options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
        signal: this.#closing.signal,
      });
      hasSucceeded = true;
    } finally {
      this.#weights.end(hasSucceeded);
    }
    this.#logger.info({ durationMs: Math.round(performance.now() - startMs) }, 'Received new weights');
  }

  #refuse(response: ServerResponse, thrown: unknown): void {
    if (thrown instanceof RequestProblem) {
      // Does not wait for the rest of a body that was not read.
      response.setHeader('connection', 'close');
      sendProblem(response, thrown.status, thrown.message);
      return;
    }
    const error = asWorkerError(thrown);
    this.#logger.error({ error: error.toJSON() }, 'An update failed');
    sendProblem(response, 500, error.message, error);
  }

  #isAllowed(request: IncomingMessage): boolean {
    const { token } = this.#options;
    if (token === undefined) return true;
    const digest = (text: string): Uint8Array => createHash('sha256').update(text).digest();
    return timingSafeEqual(digest(request.headers.authorization ?? ''), digest(`Bearer ${token}`));
  }
}

/**
 * Serves updates of an engine's devices, one at a time.
 *
 * - `POST /update` `{ "handles": { "<device uuid>": "ce2:..." }, "timeoutMs": 300000 }`: 200 when the update is over,
 * 400
 *   on bad input, 401 without the token, 409 while another update runs, 500 with problem details when it failed.
 * - `GET /describe`: the weights of each device, and how it receives the parts of its model: `{ "package":
 *   "@checkpoint-engine/worker", "protocols": [2], "workers": [{ "device": "<uuid>", "weights": "loaded",
 * "weightVersion":
 *   "v7", "checkpoint": "step-7", "pull": { "recorded": true, "proved": true, "fingerprint": "...", "summary": { ... }
 * } }] }`. `pull` is null
 *   for a device that takes buckets only. `weightVersion` is `unknown` from the first bytes of an update until the
 * workers
 *   of all ranks have finished. 401 without the token.
 * - `GET /healthz`: `{ "protocol": 2, "devices": ["<uuid>"], "updating": false }`.
 *
 * Listens on the loopback interface, or at a Unix socket that only this user can open; the socket of a process that is
 * gone is replaced. Without a token, requests of web pages are refused: 403 for a foreign `Origin`, 421 for another
 * `Host`.
 *
 * @throws {TypeError} There is no device, or the host is not the loopback interface without `allowRemote`.
 * @throws `CE_ADDRESS_IN_USE`, `CE_CONFIG_INVALID`.
 */
export async function serveWorker(options: ServeWorkerOptions): Promise<WorkerServer> {
  if (options.devices.length === 0) throw new TypeError('Expected at least one device');
  const server = new WorkerServer(options);
  await server.open();
  return server;
}
