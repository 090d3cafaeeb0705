"""Mutated input for every parser of hostile bytes."""
