/** The longest delay that a timer of the runtimes takes, about 25 days: a longer one fires at once. */
export const LONGEST_TIMER_MS: number = 2 ** 31 - 1;
