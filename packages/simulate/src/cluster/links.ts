import type { FairNetwork } from '../engine/fair-network.ts';
import type { LinkKind, Path, PathStep } from '../engine/link.ts';
import type { ClusterTopology } from './topology.ts';

const scaled = (path: Path, factor: number): Path => path.map(([link, weight]) => [link, weight * factor]);

/**
 * The links of a cluster, created when a flow first uses them. A host is an integer; ranks of one host count from 0.
 */
export class ClusterLinks {
  readonly #topology: ClusterTopology;
  readonly #network: FairNetwork;
  readonly #known = new Map<string, number>();

  constructor(topology: ClusterTopology, network: FairNetwork) {
    this.#topology = topology;
    this.#network = network;
  }

  /** From host memory to a GPU of the host. */
  hostToDevice(host: number, gpu: number): Path {
    return [...this.#memory(host), ...this.#intoGpu(host, gpu)];
  }

  /** From the host's own files, or the shared file system, into host memory. A rank reads through its own NIC. */
  fileToHost(host: number, gpu: number, shared: boolean, sharedWeight = 1): Path {
    if (!shared) return [this.#link('file', `host ${host} files`, this.#topology.host.fileGBps), ...this.#memory(host)];
    const files = this.#link('file', 'shared files', this.#topology.network.sharedFileGBps);
    return [[files[0], sharedWeight], ...this.nicIn(host, gpu), ...this.#memory(host)];
  }

  /** From the memory of one host into the memory of another. `outWeight` is the load on the owner's links. */
  hostToHost(from: number, fromGpu: number, to: number, toGpu: number, outWeight: number): Path {
    return [
      ...scaled([...this.#memory(from), ...this.nicOut(from, fromGpu)], outWeight),
      ...this.#spine(),
      ...this.nicIn(to, toGpu),
      ...this.#memory(to),
    ];
  }

  /** From the memory of one host into a GPU of another, through the GPU's NIC. */
  hostToRemoteDevice(from: number, fromGpu: number, to: number, toGpu: number, outWeight: number): Path {
    return [
      ...scaled([...this.#memory(from), ...this.nicOut(from, fromGpu)], outWeight),
      ...this.#spine(),
      ...this.nicIn(to, toGpu),
      ...this.#intoGpu(to, toGpu),
    ];
  }

  /** Into one GPU over NVLink. */
  nvlink(host: number, gpu: number): PathStep {
    return this.#link('nvlink', `host ${host} GPU ${gpu} NVLink`, this.#topology.gpu.nvlinkGBps);
  }

  /** The NICs of a GPU, or all NICs of the host; the flow is spread over them evenly. */
  nicIn(host: number, gpu: number | undefined): Path {
    return this.#nics('nic-in', host, gpu);
  }

  nicOut(host: number, gpu: number | undefined): Path {
    return this.#nics('nic-out', host, gpu);
  }

  /** From all NICs of the host into GPUs, spread over them evenly. */
  acrossNics(host: number): Path {
    const { nics } = this.#topology.host;
    const { gpusPerHost } = this.#topology;
    const gpus = Array.from({ length: Math.min(nics, gpusPerHost) }, (_, at) =>
      nics >= gpusPerHost ? at : (at * gpusPerHost) / nics,
    );
    return [
      ...this.nicIn(host, undefined),
      ...gpus.flatMap((gpu) => scaled(this.#intoGpu(host, gpu), 1 / gpus.length)),
    ];
  }

  #nics(kind: 'nic-in' | 'nic-out', host: number, gpu: number | undefined): Path {
    const { nics, nicGBps } = this.#topology.host;
    if (nics === 0) return [];
    const own = nicsOf(this.#topology, gpu);
    const side = kind === 'nic-in' ? 'in' : 'out';
    return own.map((nic) => [this.#link(kind, `host ${host} NIC ${nic} ${side}`, nicGBps)[0], 1 / own.length]);
  }

  #intoGpu(host: number, gpu: number): Path {
    const { host: spec, gpu: gpuSpec } = this.#topology;
    const pcie = this.#link('pcie', `host ${host} GPU ${gpu} PCIe`, gpuSpec.pcieGBps);
    if (spec.switchGBps === 0) return [pcie];
    const index = Math.floor(gpu / spec.gpusPerSwitch);
    return [this.#link('switch', `host ${host} PCIe switch ${index}`, spec.switchGBps), pcie];
  }

  #memory(host: number): Path {
    return [this.#link('memory', `host ${host} memory`, this.#topology.host.memoryGBps)];
  }

  #spine(): Path {
    const { spineGBps } = this.#topology.network;
    return spineGBps === 0 ? [] : [this.#link('spine', 'spine', spineGBps)];
  }

  #link(kind: LinkKind, name: string, rateGBps: number): PathStep {
    let link = this.#known.get(name);
    if (link === undefined) {
      link = this.#network.addLink(kind, name, rateGBps);
      this.#known.set(name, link);
    }
    return [link, 1];
  }
}

/** NICs of a GPU: one, or several if the host has more NICs than GPUs. Without a GPU, all NICs of the host. */
export function nicsOf({ gpusPerHost, host: { nics } }: ClusterTopology, gpu: number | undefined): number[] {
  if (gpu === undefined) return Array.from({ length: nics }, (_, nic) => nic);
  if (nics <= gpusPerHost) return [Math.floor((gpu * nics) / gpusPerHost)];
  const perGpu = nics / gpusPerHost;
  return Array.from({ length: perGpu }, (_, nic) => gpu * perGpu + nic);
}
