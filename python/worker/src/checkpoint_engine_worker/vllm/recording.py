"""Describes a vLLM worker to the recorder: its loader, its parameters in their loaded form, and its facts.

    engine = vllm_engine([(model, model_config)], vllm_config, device)
    recording = record(engine, tensors)

vLLM's processing after loading removes the loaders from quantized parameters. They are recorded on *meta* parameters
with loaders, which vLLM's layerwise reload restores and which are removed before the model runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from checkpoint_engine_worker.engine import Engine
from checkpoint_engine_worker.vllm.load import load_weights as load_tensors
from checkpoint_engine_worker.vllm.reload import drop_packing_kernels


def vllm_engine(
    models: Sequence[tuple[Any, Any]], vllm_config: Any, device: Any, more_facts: Mapping[str, str] | None = None
) -> Engine:
    """Returns the engine of a worker. `models` has each model that loads the checkpoint, with its configuration.

    `more_facts` has facts that the caller knows: `expert_placement` of its runner, and `config`, the
    `model_config_digest`, if it is already known.
    """
    roots = [("" if i == 0 else f"draft{i}", model) for i, (model, _) in enumerate(models)]

    def load_weights(weights: list[tuple[str, Any]]) -> None:
        with vllm_context(vllm_config, device):
            for model, _ in models:
                load_tensors(model, weights)

    @contextmanager
    def load_format() -> Iterator[None]:
        with vllm_context(vllm_config, device), ExitStack() as stack:
            for model, _ in models:
                stack.enter_context(_load_format(model))
            yield

    more = more_facts or {}
    config = {} if "config" in more else {"config": model_config_digest(vllm_config)}
    facts = {**vllm_facts(vllm_config), **config, **more}
    return Engine(load_weights, roots, device, facts, load_format, _title(facts), _process)


@contextmanager
def vllm_context(vllm_config: Any, device: Any) -> Iterator[None]:
    """Sets the context of vLLM's loaders and hooks: the configuration, the default device, no gradients."""
    import torch
    from vllm.config import set_current_vllm_config

    with set_current_vllm_config(vllm_config), torch.device(device), torch.no_grad():
        yield


def vllm_facts(vllm_config: Any) -> dict[str, str]:
    """Returns all facts of the configuration that influence a loader, except for the model's own configuration."""
    import vllm

    parallel = vllm_config.parallel_config
    facts = {"vllm": str(vllm.__version__)}
    for name in (
        "tensor_parallel_size",
        "pipeline_parallel_size",
        "data_parallel_size",
        "data_parallel_rank",
        "prefill_context_parallel_size",
        "decode_context_parallel_size",
        "enable_expert_parallel",
        "enable_eplb",
        "expert_placement_strategy",
        "rank",
    ):
        facts[name] = str(getattr(parallel, name, None))
    model = vllm_config.model_config
    facts["model"] = str(getattr(model, "architectures", None) or getattr(model, "model", None))
    facts["dtype"] = str(getattr(model, "dtype", None))
    facts["quantization"] = str(getattr(model, "quantization", None))
    facts["lora"] = str(getattr(vllm_config, "lora_config", None))
    return facts


def _title(facts: Mapping[str, str]) -> str:
    names = {"tensor_parallel_size": "tensor parallel", "pipeline_parallel_size": "pipeline parallel"}
    parallel = [f"{text} {facts[name]}" for name, text in names.items() if facts.get(name, "1") not in ("1", "None")]
    quantization = [facts["quantization"]] if facts.get("quantization", "None") != "None" else []
    model = facts["model"].strip("[]").replace("'", "")
    return ", ".join(
        [
            f"vllm {facts['vllm']}",
            model,
            facts["dtype"].removeprefix("torch."),
            *quantization,
            *parallel,
            f"rank {facts['rank']}",
        ]
    )


def model_config_digest(vllm_config: Any) -> str:
    """Returns a digest of the model's own configuration, for any source."""
    config: Any = getattr(vllm_config.model_config, "hf_config", None)
    if not callable(getattr(config, "to_dict", None)):
        return "none"
    fields = {key: value for key, value in config.to_dict().items() if key != "_name_or_path"}
    return hashlib.sha256(json.dumps(fields, sort_keys=True, default=str).encode()).hexdigest()


def expert_placement(runner: Any) -> dict[str, str]:
    """Returns the placement of experts by vLLM's load balancer, as a fact. Empty without a balancer."""
    state = getattr(runner, "eplb_state", None)
    if state is None:
        return {}
    digest = hashlib.sha256()
    found = getattr(state, "model_states", None)
    states = found.values() if isinstance(found, dict) else [state]
    for one in states:
        placement = getattr(one, "physical_to_logical_map", None)
        if placement is not None:
            digest.update(placement.detach().cpu().contiguous().numpy().tobytes())
    return {"expert_placement": digest.hexdigest()}


def _process(module: Any) -> None:
    """Processes a module as vLLM's layerwise reload does when its tensors have arrived."""
    from vllm.model_executor.layers.quantization.base_config import QuantizeMethodBase

    method = getattr(module, "quant_method", None)
    if not isinstance(method, QuantizeMethodBase):
        return
    if hasattr(module, "_already_called_process_weights_after_loading"):
        del module._already_called_process_weights_after_loading
    drop_packing_kernels(module)
    method.process_weights_after_loading(module)
    if hasattr(module, "update_param_tp_status"):
        module.update_param_tp_status()


@contextmanager
def _load_format(model: Any) -> Iterator[None]:
    """Gives the modules of a model meta parameters with loaders, and restores the kernels' tensors at the end."""
    try:
        from vllm.model_executor.model_loader.reload import initialize_layerwise_reload, layerwise
    except ImportError:  # older than the layerwise reload: live parameters have their loaders
        yield
        return
    quantizes = getattr(model, "_do_torchao_reload", None)
    initialize_layerwise_reload(model)
    try:
        for module in model.modules():
            for tensor in [*module._parameters.values(), *module._buffers.values()]:
                if tensor is not None and hasattr(tensor, "weight_loader"):
                    tensor.weight_loader = layerwise._get_original_loader(tensor)
        yield
    finally:
        for module in model.modules():
            info = layerwise.get_layerwise_info(module)
            if info.kernel_tensors is not None:
                layerwise._place_kernel_tensors(module, info)
            info.reset()
        if quantizes is not None:
            model._do_torchao_reload = quantizes
