import type { InstanceVersion } from '../report/instance-versions.ts';

const instances = new WeakMap<object, readonly InstanceVersion[]>();

/** Remembers which instances had received a request when an update failed with this error. */
export function noteInstances(error: unknown, asked: readonly InstanceVersion[]): void {
  if (typeof error === 'object' && error !== null && asked.length > 0) instances.set(error, asked);
}

/** The instances that had received a request from the failed update; none if it failed before, or was not an update. */
export function instancesOf(error: unknown): readonly InstanceVersion[] {
  return (typeof error === 'object' && error !== null && instances.get(error)) || [];
}
