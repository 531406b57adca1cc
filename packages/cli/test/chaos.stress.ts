// The long version of chaos.test.ts, which explains the variables. It takes 4 minutes.
import process from 'node:process';

process.env.SERVE_CHAOS_ROUNDS ??= '50';
process.env.SERVE_CHAOS_RANKS ??= '3';
process.env.SERVE_CHAOS_SIZE ??= '64MiB';
await import('./chaos.test.ts');
