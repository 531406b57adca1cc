"""SGLang's own loader of DeepSeek models, without the rest of SGLang.

These parts come from the sources of the installed package: all of `deepseek_weight_loader.py`, and the functions that it
calls to load: `make_expert_params_mapping`, `block_quant_dequant`, `get_layer_id`, `should_async_load`,
`maybe_executor_submit`, `default_weight_loader`, `bind_or_assign`.

This file replaces other imports of the loader: the modules of the model (parameters with the names and shapes that SGLang
gives them with one rank), the weight loaders of merged and of expert parameters, and flags that describe a CUDA device
without DeepGEMM. All remaining imports are empty stand-ins that no test reaches.
"""

import ast
import importlib.util
import os
import sys
import types

import torch
from torch import nn

ROOT = os.path.dirname(importlib.util.find_spec("sglang").origin)
BLOCK = 128


def _path(module: str) -> str:
    base = os.path.join(ROOT, *module.split(".")[1:])
    return f"{base}.py" if os.path.exists(f"{base}.py") else f"{base}/__init__.py"


def _functions(module: str, *names: str) -> dict:
    """Loads functions and methods of a source file by name, without running the rest of the file."""
    tree = ast.parse(open(_path(module)).read())
    space = {"torch": torch, "re": __import__("re"), "concurrent": __import__("concurrent.futures")}
    exec("from typing import *", space)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name in names:
            node.decorator_list = []
            source = ast.unparse(ast.Module(body=[node], type_ignores=[]))
            exec("from __future__ import annotations\n" + source, space)
    return {name: space[name] for name in names}


class _Nothing:
    """Replaces an import that is not used here: it is false, and a call returns another instance."""

    def __bool__(self):
        return False

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return _Nothing()

    def __call__(self, *args, **kwargs):
        return _Nothing()

    def __or__(self, other):
        return self

    __ror__ = __or__


def _stand_in(name: str, **members) -> None:
    module = types.ModuleType(name)
    module.__path__ = []
    module.__getattr__ = lambda key: _Nothing()
    for key, value in members.items():
        setattr(module, key, value)
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent in sys.modules:
        setattr(sys.modules[parent], child, module)


def load_mixin():
    """The class with `do_load_weights`, as SGLang has it."""
    mapping = _functions("sglang.srt.layers.moe.fused_moe_triton.layer", "make_expert_params_mapping")
    fused_moe = type("FusedMoE", (), {"make_expert_params_mapping": classmethod(mapping["make_expert_params_mapping"])})
    loading = "sglang.srt.model_loader"
    for name in ("sglang", "sglang.srt", "sglang.srt.layers", "sglang.srt.layers.moe", "sglang.srt.distributed"):
        _stand_in(name)
    for name in ("sglang.srt.layers.moe.fused_moe_triton", "sglang.srt.layers.quantization", loading, "sglang.srt.models"):
        _stand_in(name)
    _stand_in("sglang.srt.distributed.parallel_state", GroupCoordinator=object)
    _stand_in("sglang.srt.environ")
    _stand_in("sglang.srt.layers.deep_gemm_wrapper", ENABLE_JIT_DEEPGEMM=False, DEEPGEMM_BLACKWELL=False)
    _stand_in("sglang.srt.layers.moe.fused_moe_triton.layer", FusedMoE=fused_moe)
    _stand_in("sglang.srt.layers.quantization.base_config", QuantizationConfig=object)
    fp8 = "sglang.srt.layers.quantization.fp8_utils"
    _stand_in(fp8, **_functions(fp8, "block_quant_dequant"))
    _stand_in("sglang.srt.layers.quantization.int8_utils")
    _stand_in("sglang.srt.layers.utils", **_functions("sglang.srt.layers.utils.common", "get_layer_id"))
    requant = {"should_deepgemm_weight_requant_ue8m0": lambda **kwargs: False}
    run = _functions(f"{loading}.utils", "should_async_load", "maybe_executor_submit")
    _stand_in(f"{loading}.utils", **run, **requant)
    _stand_in(
        f"{loading}.weight_utils",
        RUNAI_STREAMER_TENSOR_ATTR="_sglang_runai_streamer_tensor",
        **_functions(f"{loading}.weight_utils", "default_weight_loader"),
    )
    common = "sglang.srt.models.deepseek_common"
    _stand_in(common)
    flags = dict.fromkeys(["_is_fp8_fnuz", "_is_hip", "_is_musa", "_is_npu", "_is_xpu", "_use_aiter_gfx95"], False)
    casts = {"enable_nextn_moe_bf16_cast_to_fp8": lambda *a: False, "is_wint4afp8_or_wint4a16_config": lambda *a: False}
    _stand_in(f"{common}.utils", _is_cuda=True, **flags, **casts)
    _stand_in(
        "sglang.srt.utils", log_info_on_rank0=lambda *a: None, **_functions("sglang.srt.utils.common", "bind_or_assign")
    )
    for missing in ("tqdm", "transformers"):
        if importlib.util.find_spec(missing) is None:
            _stand_in(missing)
    name = f"{common}.deepseek_weight_loader"
    spec = importlib.util.spec_from_file_location(name, _path(name))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.DeepseekV2WeightLoaderMixin


class Config:
    """DeepSeek-V3's shapes, scaled: what of a published config the loader reads, and what the shapes follow from."""

    def __init__(self, **fields):
        self.architectures = ["DeepseekV3ForCausalLM"]
        self.num_nextn_predict_layers = 0
        self.q_lora_rank, self.kv_lora_rank = 128, 128
        self.qk_nope_head_dim, self.qk_rope_head_dim, self.v_head_dim = 64, 64, 64
        self.hidden_size, self.intermediate_size, self.moe_intermediate_size = 256, 384, 128
        self.vocab_size = 512
        self.__dict__.update(fields)


CONFIGS = {
    "deepseek-v3": Config(num_hidden_layers=4, first_k_dense_replace=2, n_routed_experts=4, num_attention_heads=8, indexer=False),
    "deepseek-v3.2": Config(num_hidden_layers=4, first_k_dense_replace=2, n_routed_experts=4, num_attention_heads=8, indexer=True),
    "kimi-k2": Config(num_hidden_layers=4, first_k_dense_replace=1, n_routed_experts=6, num_attention_heads=4, indexer=False),
}


class QuantConfig:
    weight_block_size = [BLOCK, BLOCK]

    def get_name(self):
        return "fp8"


def linears(config: Config, layer: int) -> dict[str, tuple[int, int]]:
    """The quantized matrices of one layer of a checkpoint."""
    hidden, heads = config.hidden_size, config.num_attention_heads
    found = {
        "self_attn.q_a_proj": (config.q_lora_rank, hidden),
        "self_attn.q_b_proj": (heads * (config.qk_nope_head_dim + config.qk_rope_head_dim), config.q_lora_rank),
        "self_attn.kv_a_proj_with_mqa": (config.kv_lora_rank + config.qk_rope_head_dim, hidden),
        "self_attn.kv_b_proj": (heads * (config.qk_nope_head_dim + config.v_head_dim), config.kv_lora_rank),
        "self_attn.o_proj": (hidden, heads * config.v_head_dim),
    }
    if config.indexer:
        found["self_attn.indexer.wk"] = (64, hidden)
        found["self_attn.indexer.wq_b"] = (256, config.q_lora_rank)
    widths = {"mlp": config.intermediate_size}
    if layer >= config.first_k_dense_replace:
        names = [f"mlp.experts.{expert}" for expert in range(config.n_routed_experts)] + ["mlp.shared_experts"]
        widths = dict.fromkeys(names, config.moe_intermediate_size)
    for name, width in widths.items():
        found[f"{name}.gate_proj"] = found[f"{name}.up_proj"] = (width, hidden)
        found[f"{name}.down_proj"] = (hidden, width)
    return found


def checkpoint(config: Config, is_fp8: bool, seed: int) -> dict[str, torch.Tensor]:
    """Random tensors under the names of a published checkpoint."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(*shape, generator=generator)

    tensors = {
        "model.embed_tokens.weight": random(config.vocab_size, config.hidden_size).bfloat16(),
        "model.norm.weight": random(config.hidden_size).bfloat16(),
        "lm_head.weight": random(config.vocab_size, config.hidden_size).bfloat16(),
    }
    for layer in range(config.num_hidden_layers):
        prefix = f"model.layers.{layer}."
        for name, (rows, columns) in linears(config, layer).items():
            weight = random(rows, columns)
            if is_fp8:
                tensors[f"{prefix}{name}.weight"] = weight.to(torch.float8_e4m3fn)
                scales = (-(-rows // BLOCK), -(-columns // BLOCK))
                tensors[f"{prefix}{name}.weight_scale_inv"] = random(*scales).abs() + 0.5
            else:
                tensors[f"{prefix}{name}.weight"] = weight.bfloat16()
        sizes = {
            "input_layernorm": config.hidden_size,
            "post_attention_layernorm": config.hidden_size,
            "self_attn.q_a_layernorm": config.q_lora_rank,
            "self_attn.kv_a_layernorm": config.kv_lora_rank,
        }
        for name, size in sizes.items():
            tensors[f"{prefix}{name}.weight"] = random(size).bfloat16()
        if config.indexer:
            tensors[f"{prefix}self_attn.indexer.weights_proj.weight"] = random(4, config.hidden_size).bfloat16()
            tensors[f"{prefix}self_attn.indexer.k_norm.weight"] = random(64)
            tensors[f"{prefix}self_attn.indexer.k_norm.bias"] = random(64)
        if layer >= config.first_k_dense_replace:
            tensors[f"{prefix}mlp.gate.weight"] = random(config.n_routed_experts, config.hidden_size).bfloat16()
            tensors[f"{prefix}mlp.gate.e_score_correction_bias"] = random(config.n_routed_experts)
    return tensors


def _parameter(root: nn.Module, name: str, shape, dtype, loader=None) -> None:
    *path, last = name.split(".")
    for part in path:
        if part not in root._modules:
            root.add_module(part, nn.Module())
        root = root._modules[part]
    # What SGLang has in memory that it has not loaded: a value that no checkpoint has.
    parameter = nn.Parameter(torch.full(shape, 7.0).to(dtype), requires_grad=False)
    parameter.format_ue8m0 = False
    if loader is not None:
        parameter.weight_loader = loader
    root.register_parameter(last, parameter)


def _merged(parameter, weight, shard: int) -> None:
    rows = weight.shape[0]
    parameter.data[shard * rows : (shard + 1) * rows].copy_(weight)


def _expert(parameter, weight, name, shard_id: str, expert_id: int) -> None:
    target = parameter.data[expert_id]
    rows = weight.shape[0]
    first = rows if shard_id == "w3" else 0
    target[first : first + rows].copy_(weight)


def make_model(mixin, config: Config, is_fp8: bool) -> nn.Module:
    """The parameters that SGLang makes of such a config with one rank, on the CPU."""

    class Model(nn.Module, mixin):
        pass

    model = Model()
    model.config, model.quant_config = config, QuantConfig() if is_fp8 else None
    model.num_fused_shared_experts = 0
    model.pp_group = types.SimpleNamespace(is_last_rank=True, is_first_rank=True)
    stored = torch.float8_e4m3fn if is_fp8 else torch.bfloat16

    def linear(name, rows, columns, loader=None, experts=None):
        lead = () if experts is None else (experts,)
        weight, scale = ("_weight", "_weight_scale_inv") if experts is not None else (".weight", ".weight_scale_inv")
        _parameter(model, f"{name}{weight}", (*lead, rows, columns), stored, loader)
        if is_fp8:
            blocks = (*lead, -(-rows // BLOCK), -(-columns // BLOCK))
            _parameter(model, f"{name}{scale}", blocks, torch.float32, loader)

    _parameter(model, "model.embed_tokens.weight", (config.vocab_size, config.hidden_size), torch.bfloat16)
    _parameter(model, "model.norm.weight", (config.hidden_size,), torch.bfloat16)
    _parameter(model, "lm_head.weight", (config.vocab_size, config.hidden_size), torch.bfloat16)
    for layer in range(config.num_hidden_layers):
        prefix = f"model.layers.{layer}."
        shapes = linears(config, layer)
        q_rows, kv_rows = shapes["self_attn.q_a_proj"][0], shapes["self_attn.kv_a_proj_with_mqa"][0]
        linear(f"{prefix}self_attn.fused_qkv_a_proj_with_mqa", q_rows + kv_rows, config.hidden_size)
        for name in ("q_b_proj", "kv_b_proj", "o_proj"):
            linear(f"{prefix}self_attn.{name}", *shapes[f"self_attn.{name}"])
        if config.indexer:
            linear(f"{prefix}self_attn.indexer.wq_b", *shapes["self_attn.indexer.wq_b"])
            _parameter(model, f"{prefix}self_attn.indexer.wk_weights_proj.weight", (68, config.hidden_size), torch.bfloat16)
            for name in ("weight", "bias"):
                _parameter(model, f"{prefix}self_attn.indexer.k_norm.{name}", (64,), torch.float32)
        for name, size in (
            ("input_layernorm", config.hidden_size),
            ("post_attention_layernorm", config.hidden_size),
            ("self_attn.q_a_layernorm", config.q_lora_rank),
            ("self_attn.kv_a_layernorm", config.kv_lora_rank),
        ):
            _parameter(model, f"{prefix}{name}.weight", (size,), torch.bfloat16)
        is_moe = layer >= config.first_k_dense_replace
        width = config.moe_intermediate_size if is_moe else config.intermediate_size
        dense = f"{prefix}mlp.shared_experts" if is_moe else f"{prefix}mlp"
        linear(f"{dense}.gate_up_proj", 2 * width, config.hidden_size, _merged)
        linear(f"{dense}.down_proj", config.hidden_size, width)
        if is_moe:
            count = config.n_routed_experts
            linear(f"{prefix}mlp.experts.w13", 2 * width, config.hidden_size, _expert, count)
            linear(f"{prefix}mlp.experts.w2", config.hidden_size, width, _expert, count)
            _parameter(model, f"{prefix}mlp.gate.weight", (count, config.hidden_size), torch.bfloat16)
            _parameter(model, f"{prefix}mlp.gate.e_score_correction_bias", (count,), torch.float32)
    inner = model.model
    layers = inner._modules["layers"]
    inner.start_layer, inner.end_layer = 0, config.num_hidden_layers
    # As a list: the loader asks for layers by their number.
    inner._modules["layers"] = nn.ModuleList([layers._modules[str(at)] for at in range(config.num_hidden_layers)])
    for layer in inner._modules["layers"]:
        attention = layer.self_attn
        attention.qk_nope_head_dim, attention.v_head_dim = config.qk_nope_head_dim, config.v_head_dim
        attention.w_kc = attention.w_vc = attention.w_scale = None
        attention.use_deep_gemm_bmm = False
        attention.kv_b_proj.quant_method = types.SimpleNamespace(weight_block_size=[BLOCK, BLOCK])
    return model


def state_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """All parameters, and what the loader derives from them."""
    state = {name: parameter.data for name, parameter in model.named_parameters()}
    for at, layer in enumerate(model.model.layers):
        for name in ("w_kc", "w_vc"):
            state[f"layers.{at}.{name}"] = getattr(layer.self_attn, name)
    return state


def differences(one: nn.Module, other: nn.Module) -> list[str]:
    """Names of what differs in any bit."""
    states = state_of(one), state_of(other)
    assert states[0].keys() == states[1].keys()
    found = []
    for name, tensor in states[0].items():
        peer = states[1][name]
        same = tensor is not None and peer is not None and tensor.shape == peer.shape
        if not same or not torch.equal(tensor.contiguous().view(torch.uint8), peer.contiguous().view(torch.uint8)):
            found.append(name)
    return found
