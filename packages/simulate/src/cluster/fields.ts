/** The values that a field accepts. */
export type FieldKind = 'text' | 'device' | 'count' | 'countOrZero' | 'rate' | 'rateOrZero' | 'size' | 'time';

/** A field of the topology file. */
export interface Field {
  readonly kind: FieldKind;
  /** Description for the JSON schema. */
  readonly what: string;
}

const time = (what: string): Field => ({ kind: 'time', what: `${what}. Milliseconds` });
const rate = (what: string): Field => ({ kind: 'rate', what: `${what}. 1e9 bytes per second` });
const limit = (what: string): Field => ({ kind: 'rateOrZero', what: `${what}. 1e9 bytes per second; 0 for no limit` });

/** Fields outside of sections. */
export const TOP_FIELDS: Readonly<Record<string, Field>> = {
  name: { kind: 'text', what: 'Name of the cluster' },
  device: { kind: 'device', what: 'Device of the engines' },
  hosts: { kind: 'count', what: 'Number of hosts' },
  gpusPerHost: { kind: 'count', what: 'GPUs of one host' },
};

/** Fields by section. */
export const SECTIONS: Readonly<Record<'gpu' | 'host' | 'network' | 'costs', Readonly<Record<string, Field>>>> = {
  gpu: {
    name: { kind: 'text', what: 'Name of the GPU' },
    memoryGB: { kind: 'size', what: 'Device memory. 1e9 bytes' },
    freeGB: { kind: 'size', what: 'Device memory that the engine leaves free. 1e9 bytes' },
    pcieGBps: rate('Host to device, one GPU'),
    copyGBps: rate('Device memory to device memory of one GPU'),
    nvlinkGBps: rate('Broadcast between the GPUs of a host, as received by one GPU'),
  },
  host: {
    memoryGBps: rate('Host memory, all GPUs and NICs together'),
    gpusPerSwitch: { kind: 'count', what: 'GPUs behind one PCIe switch' },
    switchGBps: limit('Host side of one PCIe switch'),
    nics: { kind: 'countOrZero', what: 'Number of NICs' },
    nicGBps: rate('One NIC, one direction'),
    fileGBps: rate("The host's own files"),
  },
  network: {
    spineGBps: limit('All traffic between hosts'),
    sharedFileGBps: rate('The file system that all hosts share'),
  },
  costs: {
    meetMs: time('Ranks agree on the plan'),
    meetRankMs: time('Ranks agree on the plan: additional time for each rank'),
    handshakeMs: time('Sending requests to the engines, and opening shared memory'),
    firstMs: time('Additional time of the first update of a process'),
    releaseMs: time('A worker releases the shared buffer'),
    hookMs: time("The engine's work after loading"),
    bucketMs: time('A worker loads one bucket, without the time for its tensors'),
    bucketExpertsMs: time('A worker loads one bucket: additional time for a model with experts'),
    tensorMs: time('A worker loads one tensor of a bucket'),
    sliceMs: time('A worker loads one tensor: additional time if several ranks divide the layers'),
    broadcastMs: time('Start and end of one broadcast'),
    hopMs: time('One broadcast: additional time for each doubling of the hosts'),
    readMs: time('Start and end of one read from another host or from a file'),
    chunkMs: time('A worker copies one chunk from host memory, without the time for its bytes'),
    pythonGroupMs: time('The Python tool creates a process group for a subset of the ranks'),
    pythonBarrierMs: time('All ranks of the Python tool wait for each other, once per bucket'),
    pythonBarrierHopMs: time('The same: additional time for each doubling of the hosts'),
    pythonFixedMs: time('Start and end of an update of the Python tool'),
  },
};
