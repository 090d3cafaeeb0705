"""Transfers: what a session must be able to do, and the pure rules that steer it."""
