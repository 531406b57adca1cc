// What each member of the compliance tests is made of; imported by their processes. Rank r takes GPU r modulo their count.
import { createCudaDevice, listCudaDevices } from '@checkpoint-engine/device';
import { nccl } from '@checkpoint-engine/transport-nccl';

export const broadcast = async ({ rank, worldSize }) => {
  const found = await listCudaDevices();
  if (!found.available) throw new Error(found.reason);
  const count = found.devices.length;
  if (worldSize > count) {
    // NCCL refuses two ranks of one host on one GPU: these are told to be of different hosts.
    process.env.NCCL_HOSTID = `rank-${rank}`;
    process.env.NCCL_SOCKET_IFNAME = 'lo';
  }
  return { device: await createCudaDevice({ index: rank % count }), transport: nccl() };
};
