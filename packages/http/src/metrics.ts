import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { RankProgress } from './update-progress.ts';
import type { UpdateRecord } from './update-record.ts';
import type { Updates } from './updates.ts';
import type { HttpWorld } from './world.ts';

const UPDATE_SECONDS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320];
const PHASE_SECONDS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 40, 160];
const REQUEST_SECONDS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30, 300];

/** Bytes and times of each stage of a rank, by the stage's name. */
const STAGE_BYTES: Readonly<Record<string, (progress: RankProgress) => number>> = {
  read: ({ readBytes }) => readBytes,
  h2d: ({ h2dBytes }) => h2dBytes,
  broadcast: ({ broadcastBytes }) => broadcastBytes,
  reload: ({ reloadBytes }) => reloadBytes,
  pull: ({ pullBytes }) => pullBytes,
};

/** The metrics of `GET /metrics`. `docs/metrics.md` lists them. */
export class Metrics {
  readonly #registry: Registry;
  readonly #updates: Counter<'result'>;
  readonly #updateSeconds: Histogram<'result'>;
  readonly #phaseSeconds: Histogram<'phase'>;
  readonly #updateBytes: Counter;
  readonly #stageBytes: Counter<'stage' | 'rank'>;
  readonly #stageSeconds: Counter<'stage' | 'rank'>;
  readonly #errors: Counter<'code'>;
  readonly #requestSeconds: Histogram<'method' | 'route' | 'status'>;

  /** @param registry Has further metrics of the process, which are served together with these. */
  constructor(world: HttpWorld, updates: () => Updates, registry: Registry = new Registry(), version?: string) {
    this.#registry = registry;
    const registers = [registry];
    this.#updates = new Counter({
      name: 'checkpoint_engine_updates_total',
      help: 'Number of updates that have ended, by result',
      labelNames: ['result'],
      registers,
    });
    this.#updateSeconds = new Histogram({
      name: 'checkpoint_engine_update_seconds',
      help: 'Duration of updates, without the time in the queue',
      labelNames: ['result'],
      buckets: UPDATE_SECONDS,
      registers,
    });
    this.#phaseSeconds = new Histogram({
      name: 'checkpoint_engine_update_phase_seconds',
      help: 'Duration of each phase of successful updates, on the slowest rank',
      labelNames: ['phase'],
      buckets: PHASE_SECONDS,
      registers,
    });
    this.#updateBytes = new Counter({
      name: 'checkpoint_engine_update_bytes_total',
      help: 'Bytes of the checkpoints of successful updates',
      registers,
    });
    this.#stageBytes = new Counter({
      name: 'checkpoint_engine_stage_bytes_total',
      help: 'Bytes that each rank moved through each stage, in failed updates too',
      labelNames: ['stage', 'rank'],
      registers,
    });
    this.#stageSeconds = new Counter({
      name: 'checkpoint_engine_stage_seconds_total',
      help: 'Time from the first to the last bucket of each stage on each rank, in failed updates too',
      labelNames: ['stage', 'rank'],
      registers,
    });
    this.#errors = new Counter({
      name: 'checkpoint_engine_update_errors_total',
      help: 'Number of updates that failed, by error code',
      labelNames: ['code'],
      registers,
    });
    this.#requestSeconds = new Histogram({
      name: 'checkpoint_engine_http_request_seconds',
      help: 'Duration of HTTP requests',
      labelNames: ['method', 'route', 'status'],
      buckets: REQUEST_SECONDS,
      registers,
    });
    const build = new Gauge({
      name: 'checkpoint_engine_build_info',
      help: 'Version of the server, always 1',
      labelNames: ['version'],
      registers,
    });
    if (version !== undefined) build.set({ version }, 1);
    addWorldMetrics(registers, world, updates);
    addInstanceMetrics(registers, updates);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  noteUpdate({ state: result, durationMs, summary, error, progress }: UpdateRecord): void {
    this.#updates.inc({ result });
    this.#updateSeconds.observe({ result }, durationMs / 1000);
    if (result === 'failed') this.#errors.inc({ code: error?.code ?? 'CE_INTERNAL' });
    for (const [rank, ofRank] of progress.ranks) {
      for (const [stage, bytesOf] of Object.entries(STAGE_BYTES)) {
        const bytes = bytesOf(ofRank);
        if (bytes > 0) this.#stageBytes.inc({ stage, rank: String(rank) }, bytes);
      }
      for (const [stage, { fromMs, toMs }] of ofRank.spans) {
        this.#stageSeconds.inc({ stage, rank: String(rank) }, (toMs - fromMs) / 1000);
      }
    }
    if (summary === undefined) return;
    this.#updateBytes.inc(summary.totalBytes);
    for (const [phase, ms] of Object.entries(summary.durationsMs)) {
      // These two are not phases: they overlap with the phases.
      if (phase !== 'total' && phase !== 'engine') this.#phaseSeconds.observe({ phase }, ms / 1000);
    }
  }

  noteRequest(request: { readonly method: string; readonly route: string; readonly status: number }, ms: number): void {
    this.#requestSeconds.observe({ ...request, status: String(request.status) }, ms / 1000);
  }
}

function addWorldMetrics(registers: Registry[], world: HttpWorld, updates: () => Updates): void {
  gauge(registers, 'updates_running', 'Number of updates that are running', () => (updates().running ? 1 : 0));
  gauge(registers, 'updates_waiting', 'Number of updates that are waiting to run', () => updates().waitingCount);
  gauge(registers, 'ranks', 'Number of ranks in the world', () => world.worldSize);
  gauge(
    registers,
    'ranks_ready',
    'Number of ranks that are ready',
    () => world.ranks().filter(({ state }) => state === 'ready').length,
  );
  gauge(registers, 'checkpoints', 'Number of registered checkpoints', () => world.checkpoints().length);
  gauge(registers, 'pool_bytes', 'Host memory that holds checkpoints, on all ranks', () =>
    world
      .checkpoints()
      .flatMap(({ ranks }) => ranks)
      .reduce((sum, { poolBytes }) => sum + poolBytes, 0),
  );
  let seen = 0;
  new Counter({
    name: 'checkpoint_engine_rank_restarts_total',
    help: 'Number of restarts of ranks',
    registers,
    collect() {
      const restarts = world.ranks().reduce((sum, rank) => sum + rank.restarts, 0);
      this.inc(Math.max(0, restarts - seen));
      seen = Math.max(seen, restarts);
    },
  });
}

/** One series per inference instance, with the version that it holds. */
function addInstanceMetrics(registers: Registry[], updates: () => Updates): void {
  new Gauge({
    name: 'checkpoint_engine_instance_weights',
    help: 'Version that an inference instance holds: 1 if all ranks have confirmed it, 0 with the version "unknown"',
    labelNames: ['endpoint', 'checkpoint', 'weight_version'],
    registers,
    collect() {
      this.reset();
      for (const { endpoint, state, checkpoint = '', weightVersion } of updates().instances.all) {
        this.set({ endpoint, checkpoint, weight_version: weightVersion }, state === 'current' ? 1 : 0);
      }
    },
  });
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
