"""Reference UNet: what the denoising UNet may look at of the reference picture."""

from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from .reference_attention import ReferenceFeatures, ReferenceWriter, set_reference_processors


class ReferenceUNet(UNet2DConditionModel):
    """diffusers' UNet without its output layers, for its self-attention inputs. Takes `UNet2DConditionModel` sizes."""

    def __init__(self, **sizes) -> None:
        super().__init__(**sizes)
        self.conv_norm_out = None  # the picture it would draw is not used
        self.conv_out = nn.Identity()
        set_reference_processors(self, ReferenceWriter)
        self._freeze_what_never_matters()

    def _freeze_what_never_matters(self) -> None:
        """Nothing after the last kept tokens has an effect, so it gets no gradient either."""
        for name, parameter in self.up_blocks[-1].attentions[-1].named_parameters():
            if not name.startswith(("norm.", "proj_in.", "transformer_blocks.0.norm1.")):
                parameter.requires_grad_(False)

    def forward(self, latents: Tensor, tokens: Tensor) -> ReferenceFeatures:
        """Reference latents (B, C, h, w) and identity tokens (B, T, token_dim), at timestep 0.

        Returns, for every transformer block by its name, the tokens (B, N, dim) after `norm1`.
        """
        kept: dict[str, Tensor] = {}
        super().forward(latents, 0, tokens, cross_attention_kwargs={"kept": kept}, return_dict=False)
        return kept
