// Creates the parts of each member of the compliance tests; the members' processes import it. Rank r uses GPU r modulo the GPU count.
import { createCudaDevice, listCudaDevices } from '@checkpoint-engine/device';
import { nccl } from '@checkpoint-engine/transport-nccl';

export const broadcast = async ({ rank, worldSize }) => {
  const found = await listCudaDevices();
  if (!found.available) throw new Error(found.reason);
  const count = found.devices.length;
  if (worldSize > count) {
    // NCCL refuses two ranks of one host on one GPU, so these ranks pretend to be on different hosts.
    process.env.NCCL_HOSTID = `rank-${rank}`;
    process.env.NCCL_SOCKET_IFNAME = 'lo';
  }
  return { device: await createCudaDevice({ index: rank % count }), transport: nccl() };
};
