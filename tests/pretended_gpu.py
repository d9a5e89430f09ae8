"""A GPU for machines without one: its tensors say `cuda`, hold their numbers on the CPU, and refuse what a GPU refuses.

An operator that gets tensors of both devices raises; kernels of Triton run in its interpreter (TRITON_INTERPRET=1).
What makes the CPU wait for a GPU is counted, by the line of this repository that asks. No gradients, no speed.
Use it in a process of its own, before the modules that it is to hold for are imported.
"""

import threading
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from unittest.mock import Mock, patch

import torch
from torch.nn.functional import scaled_dot_product_attention as attention
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map

ROOT = Path(__file__).resolve().parents[1]
CUDA = torch.device("cuda", 0)
aten = torch.ops.aten
INDEXING = {aten.index.Tensor, aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default}
PINNING = {aten._pin_memory.default, aten.pin_memory.default}
COPYING = {aten.copy_.default, aten._to_copy.default}
WAITING = {
    aten._local_scalar_dense.default,
    aten.nonzero.default,
    aten.equal.default,
    aten.masked_select.default,
    aten._unique2.default,
    aten.unique_consecutive.default,
    aten.repeat_interleave.Tensor,
    aten.bincount.default,
}
GENERATOR = torch.Generator


class Counts:
    """What has been asked of the pretended GPU: operators, and waits by line; and the graph that is being recorded."""

    def __init__(self) -> None:
        self.operators, self.waits = 0, Counter[str]()
        self.recording: Graph | None = None

    def clear(self) -> None:
        self.operators = 0
        self.waits.clear()

    def wait(self) -> None:
        assert self.recording is None, "the CPU waits for the GPU while a graph is recorded"
        frames = traceback.extract_stack()
        ours = [f"{frame.filename}:{frame.lineno}".removeprefix(f"{ROOT}/") for frame in frames]
        ours = [line for line in ours if line.startswith(("pose2id/", "NFC/", "IPG/"))]
        self.waits[ours[-1] if ours else "elsewhere"] += 1


COUNTS = Counts()


class Graph:
    """A CUDA graph: operators, and what they gave, which replaying gives anew in the same place."""

    def __init__(self) -> None:
        self.operators: list[tuple] = []

    def replay(self) -> None:
        with _disable_current_modes():
            for func, args, kwargs, given in self.operators:
                again = func(*args, **kwargs)
                for old, new in zip(tree_leaves(given), tree_leaves(again), strict=True):
                    if isinstance(old, torch.Tensor) and old is not new:
                        old.copy_(new)


@contextmanager
def recorded(graph: Graph, capture_error_mode: str = "global") -> Iterator[None]:
    COUNTS.recording = graph
    try:
        yield
    finally:
        COUNTS.recording = None


class OnGPU(torch.Tensor):
    """A tensor on the pretended GPU; `held` has its numbers."""

    held: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> "OnGPU":
        kept = {"dtype": held.dtype, "layout": held.layout, "device": CUDA}
        if held.layout == torch.strided:
            kept |= {"strides": held.stride(), "storage_offset": held.storage_offset()}
        result = torch.Tensor._make_wrapper_subclass(cls, held.size(), **kept)
        result.held = held
        return result

    def __getitem__(self, index: object) -> torch.Tensor:
        parts = index if isinstance(index, tuple) else (index,)
        parts = tuple(OnGPU(torch.LongTensor(part)) if isinstance(part, list) else part for part in parts)
        return super().__getitem__(parts if isinstance(index, tuple) else parts[0])

    def new_tensor(self, data: object, dtype: torch.dtype | None = None) -> torch.Tensor:
        return OnGPU(self.held.new_tensor(data, dtype=dtype))

    def tolist(self) -> list:
        COUNTS.wait()
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {})


class PretendedGPU(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {})


def compute(func, args: tuple, kwargs: dict) -> object:
    """One operator, on what the tensors hold."""
    if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"):
        with PretendedGPU():
            return func.decompose(*args, **kwargs)
    if func in PINNING:
        return args[0]
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    there = [tensor for tensor in tensors if isinstance(tensor, OnGPU)]
    device = kwargs.get("device") and torch.device(kwargs["device"])
    _refuse_mixtures(func, args, tensors, there)
    if there:
        COUNTS.operators += 1
        if _waits(func, args, device):
            COUNTS.wait()
    if func is aten.mm.dtype:  # tensor cores: a CPU has no such product
        first, second, dtype = args
        return OnGPU(first.held.to(dtype) @ second.held.to(dtype))
    known = {id(held(tensor)): tensor for tensor in tensors}
    from_cpu = func in COPYING and len(there) < len(tensors)
    args, kwargs = tree_map(held, (args, kwargs))
    if device is not None:
        kwargs |= {"device": "cpu", **({"pin_memory": False} if "pin_memory" in kwargs else {})}
    on_gpu = device.type == "cuda" if device is not None else bool(there)

    def dressed(value: object) -> object:
        if not isinstance(value, torch.Tensor) or isinstance(value, OnGPU):
            return value
        return known[id(value)] if id(value) in known else OnGPU(value) if on_gpu else value

    assert COUNTS.recording is None or (on_gpu and not from_cpu), f"{func} brings numbers to a graph that is recorded"
    return tree_map(dressed, noted(func, *args, **kwargs))


def noted(func, *args: object, **kwargs: object) -> object:
    """The function of what tensors hold, which a graph that is recorded will call again."""
    given = func(*args, **kwargs)
    if COUNTS.recording is not None:
        COUNTS.recording.operators.append((func, args, kwargs, given))
    return given


def held(value: object) -> object:
    return value.held if isinstance(value, OnGPU) else value


def _refuse_mixtures(func, args: tuple, tensors: list, there: list) -> None:
    """As PyTorch does: only copies, indices on the CPU and numbers without axes may be of another device."""
    indexed = func in INDEXING
    if not there or func in COPYING or (indexed and isinstance(args[0], OnGPU)):
        return
    if indexed or any(tensor.dim() for tensor in tensors if not isinstance(tensor, OnGPU)):
        shapes = [(tuple(tensor.shape), str(tensor.device)) for tensor in tensors]
        raise RuntimeError(f"{func}: tensors of two devices: {shapes}")


def _waits(func, args: tuple, device: torch.device | None) -> bool:
    if func in INDEXING:
        return any(isinstance(index, torch.Tensor) and index.dtype == torch.bool for index in args[1])
    if func is aten.copy_.default:
        return not isinstance(args[0], OnGPU)
    return func in WAITING or (func is aten._to_copy.default and device is not None and device.type == "cpu")


@contextmanager
def pretended_gpu() -> Iterator[Counts]:
    """`cuda` is there while this lasts; yields what is asked of it."""
    torch._C._ensureCUDADeviceGuardSet()  # of torch's own fake tensors: a place to compute that is none
    cudnn, overwrite = torch.backends.cudnn.enabled, torch.__future__.get_overwrite_module_params_on_conversion()
    torch.backends.cudnn.enabled = False
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    with ExitStack() as stack:
        for name, value in _replacements().items():
            stack.enter_context(patch(name, value))
        stack.enter_context(PretendedGPU())
        yield COUNTS
    torch.backends.cudnn.enabled = cudnn
    torch.__future__.set_overwrite_module_params_on_conversion(overwrite)


def _replacements() -> dict[str, object]:
    """What asks for a GPU before an operator is called."""
    run = threading.Thread.run
    nothing = "_lazy_init", "synchronize", "empty_cache", "reset_peak_memory_stats", "set_device", "set_rng_state"
    answers = {
        "is_available": True,
        "device_count": 1,
        "current_device": 0,
        "get_device_capability": (9, 0),
        "get_device_name": "pretended",
        "memory_allocated": 0,
        "max_memory_allocated": 0,
        "mem_get_info": (2**36, 2**36),
        "get_rng_state": torch.zeros(0),
        "device_of": nullcontext(),
        **dict.fromkeys(nothing),
        "manual_seed_all": None,
    }
    found: dict[str, object] = {f"torch.cuda.{name}": lambda *_, value=value: value for name, value in answers.items()}

    def in_thread(thread: threading.Thread) -> None:
        with PretendedGPU():
            run(thread)

    def made(make):
        def tensor(data: object, *args: object, device: object = None, **kwargs: object) -> torch.Tensor:
            result = make(data, *args, **kwargs)
            return result if device is None else result.to(device)

        return tensor

    def attend(query, key, value, mask=None, **others: object) -> torch.Tensor:
        given = query, key, value, others.pop("attn_mask", mask)
        if not isinstance(query, OnGPU):
            return attention(*given, **others)
        assert all(tensor is None or isinstance(tensor, OnGPU) for tensor in given)
        with _disable_current_modes():
            return OnGPU(noted(attention, *map(held, given), **others))

    class Generator(GENERATOR):
        def __new__(cls, device: object = None) -> torch.Generator:
            return GENERATOR.__new__(cls, "cpu")

    found |= {f"torch.{name}": made(getattr(torch, name)) for name in ("tensor", "as_tensor", "asarray")}
    return found | {
        "threading.Thread.run": in_thread,
        "torch.nn.functional.scaled_dot_product_attention": attend,
        "torch.Generator": Generator,
        "torch.cuda.CUDAGraph": Graph,
        "torch.cuda.graph": recorded,
        "torch.cuda.Stream": Mock,
        "torch.cuda.current_stream": Mock,
        "torch.cuda.stream": lambda stream: nullcontext(),
        "torch.inference_mode": lambda *_: torch.no_grad(),
        "triton.runtime.interpreter.GridExecutor.__call__": _interpreted(),
    }


def _interpreted():
    from triton.runtime.interpreter import GridExecutor

    launch = GridExecutor.__call__

    def launched(executor: object, *args: object, **kwargs: object) -> None:
        COUNTS.operators += 1
        tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)]
        assert all(isinstance(tensor, OnGPU) for tensor in tensors), "a kernel got a tensor of the CPU"
        with _disable_current_modes():
            noted(launch, executor, *map(held, args), **{name: held(value) for name, value in kwargs.items()})

    return launched
