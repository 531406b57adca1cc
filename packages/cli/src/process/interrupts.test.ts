import process from 'node:process';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type Interrupts, interruptStatus, watchInterrupts } from './interrupts.ts';

let interrupts: Interrupts | undefined;
afterEach(() => interrupts?.stop());

describe('watchInterrupts', () => {
  it('ignores SIGHUP without a terminal, and logs it', () => {
    const onHangupIgnored = vi.fn();
    interrupts = watchInterrupts({ endsAtHangup: false, onHangupIgnored });
    process.emit('SIGHUP');
    expect(interrupts.asked.aborted).toBe(false);
    expect(onHangupIgnored).toHaveBeenCalledOnce();
    process.emit('SIGTERM');
    expect([interrupts.askedBy, interruptStatus()]).toEqual(['SIGTERM', 143]);
  });

  it('treats SIGHUP of a terminal as a request to end', () => {
    interrupts = watchInterrupts({ endsAtHangup: true });
    process.emit('SIGHUP');
    expect(interrupts.asked.reason).toMatchObject({ code: 'CE_ABORTED', message: 'Interrupted by SIGHUP' });
    expect([interrupts.askedBy, interruptStatus()]).toEqual(['SIGHUP', 129]);
  });

  it('distinguishes the first request from later ones', () => {
    interrupts = watchInterrupts();
    process.emit('SIGINT');
    expect([interrupts.askedBy, interruptStatus(), interrupts.insisted.aborted]).toEqual(['SIGINT', 130, false]);
    process.emit('SIGTERM');
    expect([interrupts.askedBy, interruptStatus(), interrupts.insisted.aborted]).toEqual(['SIGINT', 130, true]);
  });
});
