/** The longest delay that the runtimes' timers accept, about 25 days; a timer with a longer delay fires immediately. */
export const LONGEST_TIMER_MS: number = 2 ** 31 - 1;
