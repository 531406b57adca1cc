#!/usr/bin/env bash
# Creates three folders, each small enough for one transfer, that install vLLM on a machine with Python 3.12, torch 2.11
# and CUDA 13 but without a network, where install-part.sh unpacks them in any order. Needs pip, unzip and xz.
#
#   apps/bench/gpu/carry-vllm.sh OUT      writes OUT/.p1, OUT/.p2 and OUT/.p3
#
# Omits vLLM's FlashAttention 2, because a Hopper GPU uses FlashAttention 3.
set -euo pipefail
release=0.26.0
out=$(realpath "${1:?where to}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
platforms=(2_5 2_12 2_17 2_24 2_27 2_28 2_31 2_34)
flags=(--no-deps --only-binary=:all: --python-version 3.12 --implementation cp --abi cp312 --abi abi3 --abi none)
for platform in "${platforms[@]}"; do flags+=(--platform "manylinux_${platform}_x86_64"); done
flags+=(--platform manylinux1_x86_64 --platform manylinux2010_x86_64 --platform manylinux2014_x86_64)

# Packages that vLLM imports and that the machine lacks.
names="annotated-types apache-tvm-ffi astor blake3 cachetools cbor2 compressed-tensors depyf dill dnspython docstring-parser
  email-validator fastapi fastapi-cli googleapis-common-protos httpcore2 httptools httpx2 ijson interegular jiter jmespath
  jsonschema jsonschema-specifications lark llguidance lm-format-enforcer loguru mcp mcp-types mistral-common
  model-hosting-container-standards msgspec openai openai-harmony opentelemetry-api opentelemetry-sdk opentelemetry-proto
  opentelemetry-exporter-otlp opentelemetry-exporter-otlp-proto-common opentelemetry-exporter-otlp-proto-grpc
  opentelemetry-exporter-otlp-proto-http opentelemetry-semantic-conventions opentelemetry-semantic-conventions-ai
  oss-harmony partial-json-parser prometheus-fastapi-instrumentator py-cpuinfo pybase64 pycountry pydantic pydantic-core
  pydantic-extra-types pydantic-settings pyjwt python-dotenv python-json-logger python-multipart pyzmq referencing requests
  rpds-py setproctitle sniffio sse-starlette starlette supervisor truststore typing-inspection uvicorn watchfiles websockets
  xgrammar"

wheel=${VLLM_WHEEL:-}
if [ -z "$wheel" ]; then
  python3 -m pip download -q "${flags[@]}" -d "$work" "vllm==$release"
  wheel=$(ls "$work"/vllm-*.whl)
fi
mkdir -p "$work/vllm" "$out/.p1" "$out/.p2" "$out/.p3"
unzip -q "$wheel" -d "$work/vllm"

# 1: other packages, and FlashAttention 3.
if [ -n "${WHEELS:-}" ]; then
  cp "$WHEELS"/*.whl "$out/.p1/"
else
  constraint() { # the versions of a package that vLLM allows
    sed -nE "s/^Requires-Dist: $1(\[[^]]*\])? ?([(]?[<>=!~][^;)]*)[)]?.*/\2/p" "$work"/vllm/vllm-*.dist-info/METADATA | head -1 | tr -d '( '
  }
  for name in $names; do python3 -m pip download -q "${flags[@]}" -d "$out/.p1" "$name$(constraint "$name")"; done
  python3 -m pip download -q "${flags[@]}" -d "$out/.p1" checkpoint-engine==0.4.2
fi
cd "$work/vllm"
pack() { xz -T0 "-$1" -c "$2" >"$3/$(echo "$2" | tr / +).xz"; }
pack 6 vllm/vllm_flash_attn/_vllm_fa3_C.abi3.so "$out/.p1"
# 2: vLLM's kernels.
pack 6 vllm/_C_stable_libtorch.abi3.so "$out/.p2"
# 3: vLLM's Python files, and small native modules.
for addon in _moe_C_stable_libtorch spinloop fs_io_C _flashmla_extension_C _rust_tool_parser cumem_allocator; do
  pack 6 "vllm/$addon.abi3.so" "$out/.p3"
done
tar c --exclude='*.so' --exclude=vllm-rs --exclude='third_party/fmha_sm100' --exclude='third_party/deep_gemm/include' \
  vllm vllm-*.dist-info | xz -T0 -6 >"$out/.p3/files.tar.xz"
du -sm "$out"/.p[123]
