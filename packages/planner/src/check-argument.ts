/** Throws unless `value` is a safe integer of at least 1. */
export function checkPositiveInteger(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 1)
    throw new RangeError(`${name} is ${value}, expected a positive integer`);
}

/** Throws unless `value` is a number of at least 0. */
export function checkNotNegative(name: string, value: number): void {
  if (!(value >= 0)) throw new RangeError(`${name} is ${value}, expected a number of at least 0`);
}

/** Throws unless `value` is a finite number above 0. */
export function checkPositive(name: string, value: number): void {
  if (!(value > 0 && Number.isFinite(value)))
    throw new RangeError(`${name} is ${value}, expected a finite number above 0`);
}

/** Throws unless `value` is a power of two. */
export function checkPowerOfTwo(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 1 || !Number.isInteger(Math.log2(value))) {
    throw new RangeError(`${name} is ${value}, expected a power of two`);
  }
}
