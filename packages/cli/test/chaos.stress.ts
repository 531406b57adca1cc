// The long program of chaos.test.ts: 4 minutes. See there for its variables.
import process from 'node:process';

process.env.SERVE_CHAOS_ROUNDS ??= '50';
process.env.SERVE_CHAOS_RANKS ??= '3';
process.env.SERVE_CHAOS_SIZE ??= '64MiB';
await import('./chaos.test.ts');
