"""Where users' files are opened: which ones, how large, what a mistake says; listing folders, decoding pictures."""
