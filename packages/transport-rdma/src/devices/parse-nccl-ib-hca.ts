const maxEntries = 32;

/**
 * Returns the RDMA devices that a value of `NCCL_IB_HCA` selects, by NCCL's own rules and in the order of
 * `availableDevices`, at most 32. An entry is a prefix: `mlx5_1` also selects `mlx5_10`. A leading `=` requires whole
 * names, `^` selects the devices that are not listed, `^=` does both. The function ignores ports (`mlx5_0:1`) and white
 * space. An empty list does not restrict anything, regardless of its prefix.
 *
 * @source NCCL, `src/misc/utils.cc` (`parseStringList`, `matchIfList`) and the user guide on `NCCL_IB_HCA`; differs: an
 *         empty list after `^` keeps every device, where NCCL would keep none
 */
export function parseNcclIbHca(value: string, availableDevices: readonly string[]): string[] {
  const [, modifiers = '', list = ''] = /^(\^?=?)[\^=]?(.*)$/s.exec(value.trim()) ?? [];
  const entries = list
    .split(',')
    .map((entry) => entry.replace(/:.*$/s, '').trim())
    .filter((entry) => entry !== '')
    .slice(0, maxEntries);
  const excludes = modifiers.includes('^');
  const exact = modifiers.includes('=');
  const listed = (device: string): boolean =>
    entries.some((entry) => (exact ? device === entry : device.startsWith(entry)));
  const selected = entries.length === 0 ? availableDevices : availableDevices.filter((one) => listed(one) !== excludes);
  return selected.slice(0, maxEntries);
}
