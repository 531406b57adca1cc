import type { EngineClient, UpdateOptions } from '@checkpoint-engine/ps';

/** The communication of an update with its engines. */
export interface EngineOptions extends Omit<UpdateOptions, 'ranks'> {
  /**
   * After a failed update: notifies the engines that received a request that their weights are unknown. Never rejects.
   */
  readonly forgetVersions: () => Promise<void>;
}

/** Notifies engines that their weights are unknown. Never rejects. */
export async function forgetVersions(asked: Iterable<EngineClient>): Promise<void> {
  await Promise.all([...asked].map((engine) => engine.forgetVersion?.()));
}
