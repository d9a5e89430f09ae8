"""Settings that users give: flags and key=value of commands, the ranges of numbers, names in registries."""
