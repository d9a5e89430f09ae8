"""Commands of `pose2id`: parse, build a config, one call."""
