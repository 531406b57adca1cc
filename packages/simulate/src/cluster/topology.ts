/** One GPU. 1 GBps is 1e9 bytes per second, in one direction. */
export interface GpuSpec {
  readonly name: string;
  /** Device memory. */
  readonly memoryGB: number;
  /** Device memory that the engine leaves free for an update. */
  readonly freeGB: number;
  /** Host-to-device rate of one GPU from page-locked memory. */
  readonly pcieGBps: number;
  /** Rate of a copy from device memory to device memory of the same GPU. */
  readonly copyGBps: number;
  /** Rate at which one GPU receives a broadcast from GPUs of its host. */
  readonly nvlinkGBps: number;
}

/** One host. */
export interface HostSpec {
  /** Rate at which all GPUs and NICs together read and write host memory. */
  readonly memoryGBps: number;
  /** GPUs behind one PCIe switch. */
  readonly gpusPerSwitch: number;
  /** Rate of the host side of one switch. 0 means that the switch does not limit its GPUs. */
  readonly switchGBps: number;
  /** Number of NICs. */
  readonly nics: number;
  /** Rate of one NIC. */
  readonly nicGBps: number;
  /** Rate at which the host reads its own files. */
  readonly fileGBps: number;
}

/** The network between the hosts. */
export interface NetworkSpec {
  /** Rate of all traffic between hosts together. 0 means that the spine does not limit it. */
  readonly spineGBps: number;
  /** Rate of the file system that all hosts share. */
  readonly sharedFileGBps: number;
}

/** Times that do not depend on the bytes, in milliseconds. */
export interface Costs {
  /** Ranks agree on the plan. */
  readonly meetMs: number;
  /** Additional time for each rank. */
  readonly meetRankMs: number;
  /** Sending requests to the engines, and opening shared memory. */
  readonly handshakeMs: number;
  /** Additional time of the first update of a process: memory, communicators. */
  readonly firstMs: number;
  /** A worker releases the shared buffer. */
  readonly releaseMs: number;
  /** The engine's work after loading, and the end of the update. */
  readonly hookMs: number;
  /** A worker loads one bucket, without the time for its tensors. */
  readonly bucketMs: number;
  /** Additional time for a model with experts: vLLM builds a table of them in each call. */
  readonly bucketExpertsMs: number;
  /** A worker loads one tensor of a bucket. */
  readonly tensorMs: number;
  /** Additional time per tensor if several ranks divide the layers: the loader slices its part from each tensor. */
  readonly sliceMs: number;
  /** Start and end of one broadcast. */
  readonly broadcastMs: number;
  /** Additional time for each doubling of the hosts. */
  readonly hopMs: number;
  /** Start and end of one read from another host or from a file. */
  readonly readMs: number;
  /** A worker copies one chunk from host memory, without the time for the bytes. */
  readonly chunkMs: number;
  /** The Python tool creates a process group for a subset of the ranks. */
  readonly pythonGroupMs: number;
  /** All ranks of the Python tool wait for each other once per bucket. */
  readonly pythonBarrierMs: number;
  /** Additional time for each doubling of the hosts. */
  readonly pythonBarrierHopMs: number;
  /** Start and end of an update of the Python tool: memory, threads, garbage collection, the group. */
  readonly pythonFixedMs: number;
}

/** A cluster of equal hosts. The content of a topology file. Plain data. */
export interface ClusterTopology {
  readonly name: string;
  /** `host`: engines on CPUs; ranks of a host share one buffer in its memory. */
  readonly device: 'cuda' | 'host';
  readonly hosts: number;
  readonly gpusPerHost: number;
  readonly gpu: GpuSpec;
  readonly host: HostSpec;
  readonly network: NetworkSpec;
  readonly costs: Costs;
}
