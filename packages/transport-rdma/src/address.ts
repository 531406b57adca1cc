/** Splits `host:port` or `[host]:port`. @throws {TypeError} The address has neither form. */
export function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(address);
  if (match === null) throw new TypeError(`An address must have the form host:port: "${address}"`);
  return { host: (match[1] ?? match[2])!, port: Number(match[3]) };
}
