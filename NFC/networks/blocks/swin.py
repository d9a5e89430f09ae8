"""The two Swin-B backbones of KPR: pictures' tokens in, four stages' maps out.

SOLIDER's is a Swin v1 with semantic control, built on the blocks of transformers; the ImageNet one is timm's Swin v2.
"""

from collections.abc import Sequence

from timm.layers import PatchEmbed
from timm.models.swin_transformer_v2 import SwinTransformerV2
from torch import Tensor, nn
from torch.nn.functional import softplus
from transformers import SwinConfig
from transformers.models.swin.modeling_swin import SwinPatchMerging, SwinStage

SEMANTIC_WEIGHT = 0.2  # of SOLIDER's semantic control, as the official Occluded-REID settings have it


class SwinV2(SwinTransformerV2):
    """timm's Swin v2 for `height` x `width` pictures, by default swinv2_base_window12to16_192to256."""

    def __init__(
        self,
        height: int,
        width: int,
        dim: int = 128,
        depths: Sequence[int] = (2, 2, 18, 2),
        heads: Sequence[int] = (4, 8, 16, 32),
        window: int = 16,
        pretrained_windows: Sequence[int] = (12, 12, 12, 6),
    ) -> None:
        super().__init__(
            (height, width),
            num_classes=0,
            global_pool="",
            embed_dim=dim,
            depths=tuple(depths),
            num_heads=tuple(heads),
            window_size=window,
            pretrained_window_sizes=tuple(pretrained_windows),
        )
        self.channels = sum(dim * 2**stage for stage in range(len(depths)))

    def stage_maps(self, tokens: Tensor) -> list[Tensor]:
        """(B, h, w, dim) -> the stages' outputs (B, dim * 2^i, h / 2^i, w / 2^i)."""
        maps = []
        for stage in self.layers:
            tokens = stage(tokens)
            maps.append(tokens.permute(0, 3, 1, 2))
        return maps


class SoliderSwin(nn.Module):
    """Swin v1, window 7, which is never shrunk: small maps are padded. `semantic`: with SOLIDER's semantic control."""

    def __init__(
        self,
        height: int,
        width: int,
        dim: int = 128,
        depths: Sequence[int] = (2, 2, 18, 2),
        heads: Sequence[int] = (4, 8, 16, 32),
        window: int = 7,
        semantic: bool = True,
    ) -> None:
        super().__init__()
        config = SwinConfig(depths=list(depths), window_size=window, drop_path_rate=0.0, attn_implementation="sdpa")
        self.patch_embed = PatchEmbed((height, width), 4, embed_dim=dim, norm_layer=nn.LayerNorm, output_fmt="NHWC")
        widths = [dim * 2**stage for stage in range(len(depths))]
        self.channels, last = sum(widths), len(depths) - 1
        self.stages = nn.ModuleList(
            SwinStage(
                config,
                dim=widths[stage],
                input_resolution=(height >> 2 + stage, width >> 2 + stage),
                depth=depths[stage],
                num_heads=heads[stage],
                drop_path=[0.0] * depths[stage],
                downsample=SwinPatchMerging if stage < last else None,
            )
            for stage in range(len(depths))
        )
        for stage, channels in enumerate(widths):
            setattr(self, f"norm{stage}", nn.LayerNorm(channels))
        if semantic:
            entered = [*widths[1:], widths[-1]]  # the last pair is in the file and not used
            self.semantic_embed_w = nn.ModuleList(nn.Linear(2, channels) for channels in entered)
            self.semantic_embed_b = nn.ModuleList(nn.Linear(2, channels) for channels in entered)
        self.semantic = semantic

    def stage_maps(self, tokens: Tensor) -> list[Tensor]:
        """(B, h, w, dim) -> the stages' normalised outputs (B, dim * 2^i, h / 2^i, w / 2^i)."""
        maps = []
        size = tuple(tokens.shape[1:3])
        tokens = tokens.flatten(1, 2)
        for number, stage in enumerate(self.stages):
            tokens, output, _ = stage(
                tokens, size, always_partition=True, output_hidden_states_before_downsampling=True
            )
            norm = getattr(self, f"norm{number}")
            maps.append(norm(output.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
            size = tuple((side + 1) // 2 for side in size)
            if self.semantic and number < len(self.stages) - 1:
                tokens = self._control(tokens, number)
        return maps

    def _control(self, tokens: Tensor, stage: int) -> Tensor:
        """SOLIDER's semantic control of what enters the next stage: (B, N, C) -> the same shape."""
        weight = tokens.new_tensor([SEMANTIC_WEIGHT, 1 - SEMANTIC_WEIGHT])
        scale, shift = self.semantic_embed_w[stage](weight), self.semantic_embed_b[stage](weight)
        return tokens * softplus(scale) + shift
