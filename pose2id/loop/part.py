"""What a training run carries along beside the network."""

from .state import Settings


class Part:
    """Something that takes part in a run of `Loop`. These defaults do nothing, keep nothing and fix nothing."""

    def before_step(self, step: int) -> None:
        """Called before step `step`, counted from 0; what it draws at random may only depend on `step` and the seed."""

    def state_dict(self) -> dict[str, object]:
        """What a checkpoint has to keep: tensors, numbers, text, and lists and dictionaries of these."""
        return {}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Go on from what `state_dict` gave."""

    def fixed_settings(self) -> Settings:
        """The settings that may not change when a run is resumed."""
        return {}
