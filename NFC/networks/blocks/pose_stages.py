"""OpenPose's body network up to its second stage, as the part stream of PABP (Suh et al., ECCV 2018) has it.

Names of the tensors are OpenPose's.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

LIMBS, JOINTS = 38, 19  # maps of the two heads of a stage
SCALE = 0.0039  # of the values of pixels, about 1 / 256: a fact of the authors' code
# Convolutions of VGG-19 and OpenPose's two more, all 3 x 3; "" halves the map.
TRUNK = (
    *(("conv1_1", 64), ("conv1_2", 64), "", ("conv2_1", 128), ("conv2_2", 128), ""),
    *(("conv3_1", 256), ("conv3_2", 256), ("conv3_3", 256), ("conv3_4", 256), ""),
    *(("conv4_1", 512), ("conv4_2", 512), ("conv4_3_CPM", 256), ("conv4_4_CPM", 128)),
)
FIRST, FIRST_CHANNELS, FIRST_KERNELS = "conv5_{}_CPM_L{}", (128, 128, 128, 512), (3, 3, 3, 1, 1)
SECOND, SECOND_CHANNELS, SECOND_KERNELS = "Mconv{}_stage2_L{}", (128,) * 6, (7, 7, 7, 7, 7, 1, 1)


class PoseStages(nn.Module):
    """(B, 3, H, W) with values of about -128 to 128 -> (B, 185, H / 8, W / 8): limbs, joints and the trunk's map.

    thin: the channels of all but the maps are divided by it.
    """

    def __init__(self, thin: int = 1) -> None:
        super().__init__()
        channels = 3
        for step in TRUNK:
            if step:
                setattr(self, step[0], nn.Conv2d(channels, step[1] // thin, 3, padding=1))
                channels = step[1] // thin
        self.channels = LIMBS + JOINTS + channels
        for name, before, widths, kernels in (
            (FIRST, channels, FIRST_CHANNELS, FIRST_KERNELS),
            (SECOND, self.channels, SECOND_CHANNELS, SECOND_KERNELS),
        ):
            for head, maps in enumerate((LIMBS, JOINTS), 1):
                self._add(name, head, (before, *(width // thin for width in widths), maps), kernels)

    def _add(self, name: str, head: int, channels: Sequence[int], kernels: Sequence[int]) -> None:
        sizes = zip(channels, channels[1:], kernels, strict=False)
        for number, (before, after, kernel) in enumerate(sizes, 1):
            setattr(self, name.format(number, head), nn.Conv2d(before, after, kernel, padding=kernel // 2))

    def _head(self, x: Tensor, name: str, head: int, count: int) -> Tensor:
        for number in range(1, count):
            x = self.get_submodule(name.format(number, head))(x).relu()
        return self.get_submodule(name.format(count, head))(x)

    def forward(self, pictures: Tensor) -> Tensor:
        x = SCALE * pictures
        for step in TRUNK:
            x = self.get_submodule(step[0])(x).relu() if step else max_pool2d(x, 2, ceil_mode=True)
        seen = x
        for name, kernels in ((FIRST, FIRST_KERNELS), (SECOND, SECOND_KERNELS)):
            seen = torch.cat([*(self._head(seen, name, head, len(kernels)) for head in (1, 2)), x], 1)
        return seen
