"""Small KPRs, and the official kind of file of one."""

from functools import partial

import torch

from NFC.networks.kpr import KPR, KPRSizes

SIZES = {"kpr": (384, 128), "kpr_in": (256, 128)}  # of the pictures, by official file
BACKBONES = {"kpr": "solider", "kpr_in": "swin_v2"}
BACKBONE = "backbone_appearance_feature_extractor."
SMALL = {"swin_dim": 16, "depths": [1, 2, 1, 1], "heads": [1, 2, 2, 2]}


def small_kpr(backbone="swin_v2", parts=2, dim=8, num_cameras=0):
    """A network for pictures of 64 x 32."""
    window = {"swin_v2": 8, "solider": 7}[backbone]
    return KPR(KPRSizes(backbone, 64, 32, parts, dim, window=window, num_cameras=num_cameras, num_classes=0, **SMALL))


def read_small(monkeypatch):
    """From here on files are read as small networks; gives the official kind of file of one, by variant."""
    monkeypatch.setattr("NFC.networks.kpr.KPRSizes", partial(KPRSizes, **SMALL))
    torch.manual_seed(0)

    def tensors(stem, semantic=True, cameras=0):
        sizes = {"parts": 3, "semantic": semantic, "num_cameras": cameras, "num_classes": 5}
        network = KPR(
            KPRSizes(BACKBONES[stem], *SIZES[stem], **sizes, window=7 if stem == "kpr" else 16, **SMALL)
        ).eval()
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        return network, official_file(network.state_dict(), stem)

    return tensors


def official_file(ours, stem):
    """What `from_official` must undo, written the other way round: thirds joined, merged columns in file order."""
    tensors = {}
    for name, tensor in ours.items():
        if name.startswith(f"{BACKBONE}model.patch_embed."):
            name = name.replace(".proj.", ".projection.") if stem == "kpr" else name
            tensors[name.replace("model.", "")] = tensors[name] = tensor
            continue
        if stem == "kpr":
            if ".q_proj." in name:
                joined = [ours[name.replace(".q_proj.", f".{part}_proj.")] for part in "qkv"]
                tensors[name.replace(".attention.q_proj.", ".attn.w_msa.qkv.")] = torch.cat(joined)
                continue
            if ".k_proj." in name or ".v_proj." in name:
                continue
            if ".downsample." in name:  # ours: pixels (0,0) (1,0) (0,1) (1,1); theirs: (0,0) (0,1) (1,0) (1,1), inside
                first, below, right, last = tensor.chunk(4, dim=-1)
                tensor = torch.stack([first, right, below, last], dim=-1).flatten(-2)
            for our, their in (
                ("masks_patch_embed.proj.", "masks_patch_embed.projection."),
                (".layernorm_before.", ".norm1."),
                (".layernorm_after.", ".norm2."),
                (".mlp.fc1.", ".ffn.layers.0.0."),
                (".mlp.fc2.", ".ffn.layers.1."),
                (".attention.o_proj.", ".attn.w_msa.proj."),
                (".attention.relative_position_bias.", ".attn.w_msa."),
            ):
                name = name.replace(our, their)
        tensors[name] = tensor
    return tensors
