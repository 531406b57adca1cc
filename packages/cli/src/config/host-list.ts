/**
 * Returns the first host of a Slurm host list: `gpu[08-11,20],cpu1` is `gpu08`, `rack[1-2]n[01-04]` is `rack1n01`.
 *
 * @source `man scontrol`, `show hostnames`
 */
export function firstHost(hosts: string): string {
  // A comma within brackets separates numbers, not hosts.
  const [entry = ''] = /^(?:[^[,]|\[[^\]]*\])*/.exec(hosts) ?? [];
  return entry.replace(/\[(\w+)[^\]]*\]/g, '$1').trim();
}

/** Whether a list has exactly one host. */
export function isOneHost(hosts: string): boolean {
  return !/[,[]/.test(hosts.replace(/\[\w+\]/g, ''));
}
