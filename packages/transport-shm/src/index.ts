/**
 * Broadcast and P2P between the processes of one host, over shared memory, without a GPU, a library or a network.
 *
 * @packageDocumentation
 */
export { type ShmOptions, shm } from './broadcast/shm-transport.ts';
export { type ShmP2POptions, shmP2P } from './p2p/shm-p2p.ts';
