export { type ConnectStoreOptions, connectStore, STORE_TIMEOUT_MS, type StoreLocation } from './connect-store.ts';
export { type LocalStoreOptions, localStore } from './local-store.ts';
export { type OpenStoreOptions, openStore } from './open-store.ts';
export type { HeartbeatOptions } from './pulse.ts';
export { type StoreServer, type StoreServerOptions, startStoreServer } from './store-server.ts';
