// The long program of soak.test.ts: 15 minutes. See there for its variables.
import process from 'node:process';

process.env.SOAK_CYCLES ??= '1000';
process.env.SOAK_RANKS ??= '4';
await import('./soak.test.ts');
