import { collectDefaultMetrics, Registry } from 'prom-client';

/** Metrics of this process by Prometheus' usual names: CPU time, memory, open files, event loop. Of the server, not of its ranks. */
export function processMetrics(): Registry {
  const register = new Registry();
  collectDefaultMetrics({ register });
  return register;
}
