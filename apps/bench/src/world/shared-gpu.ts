/**
 * Environment of a rank that shares its GPU with others, which tests correctness, not speed. NCCL refuses two ranks of
 * one host on one GPU, so each rank gets the identity of a separate host, and they connect through the loopback
 * interface.
 */
export function sharedGpu(rank: number): Record<string, string> {
  return { NCCL_HOSTID: `rank-${rank}`, NCCL_SOCKET_IFNAME: 'lo' };
}
