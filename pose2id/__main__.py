"""`python -m pose2id`, also behind `accelerate launch -m pose2id`."""

from .cli import main

main()
