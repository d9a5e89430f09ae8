"""Methods beside their baselines, trained here on a synthetic world: `pose2id reproduce lecture` and `thesis`.

What is compared is data, `configs/reproduce/<comparison>.yaml`: data sets, networks to train, tables of rows, and what
each method has to hold against its baseline.
"""
