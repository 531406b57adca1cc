import type { Environment } from '../config/environment.ts';
import type { Check } from './check.ts';
import { type FoundLibrary, findLibrary } from './find-library.ts';

/** NCCL, for more than one rank on GPUs. */
export async function checkNccl(env: Environment): Promise<Check> {
  const found = await findLibrary(
    {
      variable: 'CHECKPOINT_ENGINE_NCCL_LIB',
      soname: 'libnccl.so.2',
      pythonPath: 'nvidia/nccl/lib/libnccl.so.2',
      pythonPackage: 'nvidia_nccl_cu',
    },
    env,
  );
  return libraryCheck('nccl', 'NCCL', found, {
    need: 'needed for more than one rank on GPUs',
    named: env.CHECKPOINT_ENGINE_NCCL_LIB,
    variable: 'CHECKPOINT_ENGINE_NCCL_LIB',
    hint: 'Install it with "pip install nvidia-nccl-cu12" or from your distribution (libnccl2), or set CHECKPOINT_ENGINE_NCCL_LIB to the path of libnccl.so.2',
  });
}

/** Mooncake Transfer Engine, for reads between hosts over RDMA. */
export async function checkMooncake(env: Environment): Promise<Check> {
  const found = await findLibrary(
    {
      variable: 'CHECKPOINT_ENGINE_MOONCAKE_LIB',
      soname: 'libtransfer_engine.so',
      pythonPath: 'mooncake/libtransfer_engine.so',
      pythonPackage: 'mooncake_transfer_engine',
    },
    env,
  );
  return libraryCheck('mooncake', 'Mooncake', found, {
    need: 'needed for reads between hosts over RDMA',
    named: env.CHECKPOINT_ENGINE_MOONCAKE_LIB,
    variable: 'CHECKPOINT_ENGINE_MOONCAKE_LIB',
    hint: 'Build Mooncake with -DBUILD_SHARED_LIBS=ON (the wheels on PyPI lack the C interface) and set CHECKPOINT_ENGINE_MOONCAKE_LIB to the path of libtransfer_engine.so',
  });
}

interface LibraryTexts {
  readonly need: string;
  readonly named: string | undefined;
  readonly variable: string;
  readonly hint: string;
}

function libraryCheck(id: string, title: string, found: FoundLibrary | undefined, texts: LibraryTexts): Check {
  const { need, named, variable, hint } = texts;
  if (found) {
    const version = found.version ? `${found.version} ` : '';
    return { id, title, status: 'found', value: `${version}(${found.path})`, details: { ...found } };
  }
  if (named) {
    return {
      id,
      title,
      status: 'missing',
      value: `${variable} names ${named}, which is not there`,
      hint: `Correct ${variable}, or unset it`,
    };
  }
  return { id, title, status: 'optional', value: `not found; ${need}`, hint };
}
