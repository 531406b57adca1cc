/** The number of the last update that this rank has seen. */
export class UpdateCounter {
  // Starts from the clock, so that a worker that still waits for an update of a killed server never connects to ours.
  last: number = Math.floor(Date.now() / 1000);
}
