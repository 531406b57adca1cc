import type { Factory, Kind, Kinds } from './world.ts';

/** Resolves a factory to its function. */
export async function resolveFactory<K extends Kind>(kind: K, factory: Factory<K>): Promise<Kinds[K]['factory']> {
  if (!(factory instanceof URL)) return factory as Kinds[K]['factory'];
  const module = (await import(factory.href)) as Record<string, unknown>;
  if (typeof module[kind] !== 'function') throw new TypeError(`${factory.href} exports no function "${kind}"`);
  return module[kind] as Kinds[K]['factory'];
}
