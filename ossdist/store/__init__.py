"""Files at this end: where a download grows, what is known for resuming it, and the whole-file hash."""
