"""Convolutional backbones by name: pictures in, the last map out. All but `small` are torchvision's ResNet-50."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck, ResNet

from pose2id.errors import UserError

IMAGENET_HEAD = "fc."  # of ImageNet's ResNet-50, in timm's names, which are torchvision's


class ResNet50(ResNet):
    """torchvision's ResNet-50 up to the map behind the last ReLU, (B, 3, H, W) -> (B, 2048, H/16, W/16).

    last_stride: of the last stage; 2 halves the map once more. Names of the tensors are torchvision's.
    """

    channels, stride = 2048, 16  # stride: of the map where last_stride is 1
    levels = (64, 256, 512, 1024, 2048)  # channels of `maps`

    def __init__(self, last_stride: int) -> None:
        super().__init__(Bottleneck, [3, 4, 6, 3])
        del self.avgpool, self.fc
        self.layer4[0].conv2.stride = self.layer4[0].downsample[0].stride = (last_stride, last_stride)

    def maps(self, pictures: Tensor) -> list[Tensor]:
        """Those of the first convolution and of the four stages, finest first."""
        maps = [self.relu(self.bn1(self.conv1(pictures)))]
        maps.append(self.layer1(self.maxpool(maps[0])))
        for stage in (self.layer2, self.layer3, self.layer4):
            maps.append(stage(maps[-1]))
        return maps

    def forward(self, pictures: Tensor) -> Tensor:
        return self.maps(pictures)[-1]


class InstanceBatchNorm(nn.Module):
    """IBN-a (Pan et al., ECCV 2018): instance normalisation of the first half of the channels, batch's of the rest."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.half = channels // 2
        self.IN = nn.InstanceNorm2d(self.half, affine=True)
        self.BN = nn.BatchNorm2d(channels - self.half)

    def forward(self, x: Tensor) -> Tensor:
        first, rest = x.split([self.half, x.shape[1] - self.half], dim=1)
        return torch.cat([self.IN(first.contiguous()), self.BN(rest.contiguous())], dim=1)


class ResNet50IBN(ResNet50):
    """ResNet-50-IBN-a: `InstanceBatchNorm` as the first normalisation of every block but those of the last stage."""

    def __init__(self, last_stride: int) -> None:
        super().__init__(last_stride)
        for stage in (self.layer1, self.layer2, self.layer3):
            for block in stage:
                block.bn1 = InstanceBatchNorm(block.bn1.num_features)


class CaffeResNet50(ResNet50):
    """ResNet-50 as He et al. released it for Caffe: stages begin with a strided 1 x 1, and pooling has no border."""

    def __init__(self, last_stride: int) -> None:
        super().__init__(last_stride)
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3)
        self.maxpool = nn.MaxPool2d(3, 2, ceil_mode=True)
        for stage in (self.layer2, self.layer3, self.layer4):
            block = stage[0]
            block.conv1.stride, block.conv2.stride = block.conv2.stride, (1, 1)


class SmallBackbone(nn.Sequential):
    """For two CPU cores: a stem and three residual blocks, (B, 3, H, W) -> (B, 160, H/8, W/8). Its sizes are ours.

    last_stride: as above; 2 makes it H/16 x W/16.
    """

    channels, stride = 160, 8
    levels = (24, 48, 96, 160)  # channels of `maps`

    def __init__(self, last_stride: int) -> None:
        stem = nn.Sequential(nn.Conv2d(3, 24, 5, 2, 2, bias=False), nn.BatchNorm2d(24), nn.ReLU())
        super().__init__(stem, Residual(24, 48, 2), Residual(48, 96, 2), Residual(96, self.channels, last_stride))

    def maps(self, pictures: Tensor) -> list[Tensor]:
        """Those of the stem and of the three blocks, finest first."""
        maps = [pictures]
        for block in self:
            maps.append(block(maps[-1]))
        return maps[1:]


class Residual(nn.Module):
    """Two 3 x 3 convolutions beside a projection, (B, channels, h, w) -> (B, out, h / stride, w / stride)."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels, out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(),
            nn.Conv2d(out, out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        return (self.convolutions(x) + self.shortcut(x)).relu()


BACKBONES: dict[str, Callable[[int], ResNet50 | SmallBackbone]] = {
    "resnet50": ResNet50,
    "resnet50_ibn_a": ResNet50IBN,
    "resnet50_caffe": CaffeResNet50,
    "small": SmallBackbone,
}


def build_backbone(name: str, last_stride: int) -> ResNet50 | SmallBackbone:
    """One of `BACKBONES`, with `channels`; `UserError` for another name or a stride that is neither 1 nor 2."""
    if name not in BACKBONES:
        raise UserError(f"unknown backbone '{name}'; choose one of: {', '.join(BACKBONES)}")
    if last_stride not in (1, 2):
        raise UserError(f"last_stride must be 1 or 2, got {last_stride}")
    return BACKBONES[name](last_stride)
