/**
 * The rendezvous store of a world of ranks: membership, values, barriers and all-gathers, and the detection of lost ranks.
 *
 * @packageDocumentation
 */
export { type ConnectStoreOptions, connectStore, type StoreLocation } from './connect-store.ts';
export { type LocalStoreOptions, localStore } from './local-store.ts';
export { type OpenStoreOptions, openStore } from './open-store.ts';
export { type StoreServer, type StoreServerOptions, startStoreServer } from './store-server.ts';
