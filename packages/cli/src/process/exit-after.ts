import { exit } from 'node:process';
import { interruptStatus } from './interrupts.ts';

/** Ends this process if it has not ended by itself after this time. Does not keep the process alive. */
export function exitAfter(milliseconds: number): void {
  setTimeout(exitNow, milliseconds).unref();
}

/** Ends this process now, with the status of the signal that it received, or with 1. */
export function exitNow(): void {
  exit(interruptStatus() ?? 1);
}
