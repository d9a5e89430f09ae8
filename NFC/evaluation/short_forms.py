"""The short forms of common methods among the options of an evaluation, which stand behind `steps`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pose2id.errors import UserError
from pose2id.settings.given import given

from ..matching import KReciprocal
from ..steps import GeneratedPictures, NeighbourCentralization, QueryExpansion


@dataclass(frozen=True)
class ShortForm:
    """method: its name in `steps`. numbers: those of its options that are numbers of the method, by option.

    write: how it is asked for.
    """

    method: str
    write: str
    numbers: Mapping[str, str]


SHORT_FORMS = {
    "ipg": ShortForm(GeneratedPictures.name, "--ipg both", {"eta": "eta", "reduction": "reduction"}),
    "nfc": ShortForm(NeighbourCentralization.name, "--nfc both", {"k1": "k1", "k2": "k2"}),
    "expansion": ShortForm(QueryExpansion.name, "--expansion 5", {"alpha": "alpha"}),
    "rerank": ShortForm(
        KReciprocal.name, "--rerank", {"rerank_k1": "k1", "rerank_k2": "k2", "rerank_lambda": "lambda_value"}
    ),
}


def check_numbers_are_used(config: Any) -> None:
    """`UserError` for a number, other than its default, of a short form that no row of the `EvaluateConfig` has."""
    asked = {*given(config, list(SHORT_FORMS)), *(("ipg", "nfc") if config.ablation else ())}
    for name, form in SHORT_FORMS.items():
        for option in given(config, list(form.numbers)) if name not in asked else ():
            value = getattr(config, option)
            raise UserError(
                f"{option}={value} goes with --{name}, which is not among the rows; write {form.write}, or "
                f"{form.method}:{form.numbers[option]}={value} in steps"
            )
