/** Throws unless `value` is an integer from 1 on that a number holds exactly. */
export function checkPositiveInteger(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 1) throw new RangeError(`${name} is ${value}, wanted a positive integer`);
}

/** Throws unless `value` is a number from 0 on. */
export function checkNotNegative(name: string, value: number): void {
  if (!(value >= 0)) throw new RangeError(`${name} is ${value}, wanted a number from 0 on`);
}

/** Throws unless `value` is a finite number above 0. */
export function checkPositive(name: string, value: number): void {
  if (!(value > 0 && Number.isFinite(value)))
    throw new RangeError(`${name} is ${value}, wanted a finite number above 0`);
}

/** Throws unless `value` is a power of two. */
export function checkPowerOfTwo(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 1 || !Number.isInteger(Math.log2(value))) {
    throw new RangeError(`${name} is ${value}, wanted a power of two`);
  }
}
