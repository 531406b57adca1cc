import { collectDefaultMetrics, Registry } from 'prom-client';

/**
 * Metrics of the server process, not of its ranks, with Prometheus' usual names: CPU time, memory, open files, event
 * loop.
 */
export function processMetrics(): Registry {
  const register = new Registry();
  collectDefaultMetrics({ register });
  return register;
}
