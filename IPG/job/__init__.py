"""The batch job behind `pose2id generate`: its settings, what is lacking, run and write it."""
