/**
 * Environment of a rank that shares its GPU with others. NCCL refuses two ranks of one host on one GPU: these are told to
 * be of different hosts, and to meet on the loopback. Right bytes, not speed.
 */
export function sharedGpu(rank: number): Record<string, string> {
  return { NCCL_HOSTID: `rank-${rank}`, NCCL_SOCKET_IFNAME: 'lo' };
}
