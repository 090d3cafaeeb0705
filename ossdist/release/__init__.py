"""What is published: its model, its layout on disk, the root of trust, and who signed it."""
