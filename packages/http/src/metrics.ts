import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { UpdateRecord } from './update-record.ts';
import type { Updates } from './updates.ts';
import type { HttpWorld } from './world.ts';

const UPDATE_SECONDS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320];
const REQUEST_SECONDS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30, 300];

/** What `GET /metrics` tells. */
export class Metrics {
  readonly #registry: Registry;
  readonly #updates: Counter<'result'>;
  readonly #updateSeconds: Histogram<'result'>;
  readonly #updateBytes: Counter;
  readonly #requestSeconds: Histogram<'method' | 'route' | 'status'>;

  /** @param registry Where other metrics of the process are, to be told with these. */
  constructor(world: HttpWorld, updates: () => Updates, registry: Registry = new Registry()) {
    this.#registry = registry;
    const registers = [registry];
    this.#updates = new Counter({
      name: 'checkpoint_engine_updates_total',
      help: 'Updates that are over',
      labelNames: ['result'],
      registers,
    });
    this.#updateSeconds = new Histogram({
      name: 'checkpoint_engine_update_seconds',
      help: 'How long updates took, without the wait for their turn',
      labelNames: ['result'],
      buckets: UPDATE_SECONDS,
      registers,
    });
    this.#updateBytes = new Counter({
      name: 'checkpoint_engine_update_bytes_total',
      help: 'Bytes of the checkpoints that updates brought to the engines',
      registers,
    });
    this.#requestSeconds = new Histogram({
      name: 'checkpoint_engine_http_request_seconds',
      help: 'How long requests took',
      labelNames: ['method', 'route', 'status'],
      buckets: REQUEST_SECONDS,
      registers,
    });
    gauge(registers, 'updates_running', 'Updates that run', () => (updates().running ? 1 : 0));
    gauge(registers, 'updates_waiting', 'Updates that wait for their turn', () => updates().waitingCount);
    gauge(registers, 'ranks', 'Ranks of the world', () => world.worldSize);
    gauge(
      registers,
      'ranks_ready',
      'Ranks that can work',
      () => world.ranks().filter(({ state }) => state === 'ready').length,
    );
    gauge(registers, 'rank_restarts', 'Restarts of all ranks', () =>
      world.ranks().reduce((sum, { restarts }) => sum + restarts, 0),
    );
    gauge(registers, 'checkpoints', 'Checkpoints', () => world.checkpoints().length);
    gauge(registers, 'pool_bytes', 'Host memory that holds checkpoints', () =>
      world
        .checkpoints()
        .flatMap(({ ranks }) => ranks)
        .reduce((sum, { poolBytes }) => sum + poolBytes, 0),
    );
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  noteUpdate({ state: result, durationMs, summary }: UpdateRecord): void {
    this.#updates.inc({ result });
    this.#updateSeconds.observe({ result }, durationMs / 1000);
    if (summary) this.#updateBytes.inc(summary.totalBytes);
  }

  noteRequest(request: { readonly method: string; readonly route: string; readonly status: number }, ms: number): void {
    this.#requestSeconds.observe({ ...request, status: String(request.status) }, ms / 1000);
  }
}

function gauge(registers: Registry[], name: string, help: string, read: () => number): void {
  new Gauge({
    name: `checkpoint_engine_${name}`,
    help,
    registers,
    collect() {
      this.set(read());
    },
  });
}
