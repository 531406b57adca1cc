/** How an update brings its bytes, and why so. Equal on all ranks. */
export interface Strategy {
  readonly name: 'pull' | 'buckets';
  readonly reason: string;
}
