/**
 * P2P reads between hosts through the Mooncake Transfer Engine, and the choice of RDMA devices. Installing and
 * importing the package does not require Mooncake.
 *
 * @packageDocumentation
 */
export { type MooncakeAvailability, mooncakeAvailability } from './availability.ts';
export { bareMemory } from './bare-memory.ts';
export { chooseRdmaDevices, type RdmaDeviceChoice } from './devices/choose-rdma-devices.ts';
export { listRdmaDevices, type RdmaDevice, type RdmaPort } from './devices/list-rdma-devices.ts';
export { parseNcclIbHca } from './devices/parse-nccl-ib-hca.ts';
export { rdmaDeviceForRank } from './devices/rdma-device-for-rank.ts';
export type { MooncakePython } from './engine/find-python.ts';
export type { RdmaOptions } from './options.ts';
export { type RdmaTransport, rdma } from './rdma.ts';
export type { RdmaEndpoint } from './rdma-endpoint.ts';
