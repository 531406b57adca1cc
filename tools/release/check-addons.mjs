import { execFileSync } from 'node:child_process';

/** The newest version of glibc that an addon may require, which is the version of Ubuntu 22.04. */
const NEWEST_GLIBC = '2.35';
const MACHINES = { x64: 'X86-64', arm64: 'AArch64' };
/** The libraries that addons may link dynamically. Others are opened at run time, or linked statically. */
const LIBRARIES = /^(libc\.so\.6|ld-linux-.*\.so\.\d)$/;

const isNewer = (a, b) => a.localeCompare(b, 'en', { numeric: true }) > 0;

/** Returns the problems of an addon in a folder `linux-<arch>`: a wrong processor, or requirements that are too new. */
export function addonProblems(path) {
  const [, arch] = /linux-(\w+)\/[^/]+\.node$/.exec(path) ?? [];
  const read = (...args) => execFileSync('readelf', [...args, '--wide', path], { encoding: 'utf8' });
  const [, machine] = /Machine:\s+(.*)/.exec(read('--file-header'));
  const libraries = [...read('--dynamic').matchAll(/NEEDED.*\[(.*)\]/g)].map(([, name]) => name);
  const versions = [...read('--version-info').matchAll(/Name: GLIBC_([\d.]+)/g)].map(([, version]) => version);
  return [
    ...(machine.includes(MACHINES[arch]) ? [] : [`it is for ${machine}, not for ${arch}`]),
    ...libraries.filter((name) => !LIBRARIES.test(name)).map((name) => `it needs the library ${name}`),
    ...versions
      .filter((version) => isNewer(version, NEWEST_GLIBC))
      .map((version) => `it requires glibc ${version}, expected at most ${NEWEST_GLIBC}`),
  ];
}
