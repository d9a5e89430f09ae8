"""The precisions that searches and rankings go through, in turn: every way in which they may."""

from NFC.neighbours.products import BFLOAT16, BFLOAT16_ON_GPU, FLOAT32, FLOAT64

PRECISIONS = {
    "bfloat16": (BFLOAT16, FLOAT64),
    "float32": (FLOAT32, FLOAT64),
    "float64": (FLOAT64,),
    "all": (BFLOAT16, FLOAT32, FLOAT64),
    "gpu": (BFLOAT16_ON_GPU, FLOAT32, FLOAT64),
}
