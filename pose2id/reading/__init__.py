"""The only place where a user's files of numbers or text are opened: which ones, how large, and what a mistake says."""
