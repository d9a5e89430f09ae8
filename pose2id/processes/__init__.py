"""Processes beside each other: workers, locks on folders, whose a folder is, and how memory is handed out."""
