import type { InstanceVersion } from '../report/instance-versions.ts';

const instances = new WeakMap<object, readonly InstanceVersion[]>();

/** Remembers which instances an update had asked when it failed with this error. */
export function noteInstances(error: unknown, asked: readonly InstanceVersion[]): void {
  if (typeof error === 'object' && error !== null && asked.length > 0) instances.set(error, asked);
}

/** The instances that the failed update had asked; none if it failed before, or was not an update. */
export function instancesOf(error: unknown): readonly InstanceVersion[] {
  return (typeof error === 'object' && error !== null && instances.get(error)) || [];
}
