"""Every Triton kernel compiles for the GPUs that people have, which the interpreter does not tell; no GPU is needed."""

from importlib import import_module

import pytest

from tests.commands import NEEDS_TRITON

VALUES = {"values": "*fp32", "room": "i32", "count": "*i32", "found": "*i64"}
NORM = {"x": "*bf16", "shift": "*bf16", "moments": "*fp32", "pixels": "i32"}
NORM_TILE = {"CHANNELS": 320, "GROUPS": 32, "SHIFTED": True, "ROWS": 4, "SIDE_BY_SIDE": 4, "PADDED": 16}
AFFINE = {"weight": "*bf16", "bias": "*bf16", "normed": "*bf16", "eps": "fp32"}
KERNELS = [  # module, name, types, constants
    ("pose2id.devices.trial_kernel", "_add_one", {"number": "*i32"}, {}),
    (
        "NFC.neighbours.kernels",
        "_select",
        VALUES | {"row_limits": "*fp32", "col_limits": "*fp32", "rows": "i32", "cols": "i32"},
        {"BOTH": True, "SIGN": -1, "ROWS": 16, "COLUMNS": 256},
    ),
    (
        "NFC.neighbours.kernels",
        "_distances",
        {"a": "*fp16", "b": "*fp16", "rows": "*i64", "cols": "*i64", "result": "*fp64", "pairs": "i32"},
        {"DIM": 3840, "PAIRS": 8, "NUMBERS": 128},
    ),
    (
        "NFC.scoring.kernels",
        "_compare",
        VALUES
        | {"wrong": "*u8", "below": "*fp32", "above": "*fp32", "last": "*fp32", "nearer": "*i32", "ties": "*i32"}
        | {"items": "i32", "matches": "i32"},
        {"STEPS": 5, "COLUMNS": 1024},
    ),
    ("IPG.models.kernels", "_moments", NORM, {"LENGTH": 64} | NORM_TILE),
    (
        "IPG.models.kernels",
        "_normalise",
        NORM | AFFINE,
        {"LENGTH": 64, "SLICES": 32, "SLICES_PADDED": 32, "SILU": True} | NORM_TILE,
    ),
    (
        "IPG.models.kernels",
        "_geglu",
        {"both": "*bf16", "gated": "*bf16", "rows": "i32", "columns": "i32"},
        {"ROWS": 8, "COLUMNS": 256},
    ),
]


@NEEDS_TRITON
@pytest.mark.parametrize("capability", [75, 90])
@pytest.mark.parametrize(("module", "name", "types", "constants"), KERNELS, ids=[kernel[1] for kernel in KERNELS])
def test_a_kernel_compiles(module, name, types, constants, capability):
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    kernel = getattr(import_module(module), name)
    signature = {argument: types.get(argument, "constexpr") for argument in kernel.arg_names}
    places = {(kernel.arg_names.index(constant),): value for constant, value in constants.items()}
    source = ASTSource(fn=kernel, signature=signature, constexprs=places)
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32))
    assert compiled.asm["cubin"]
