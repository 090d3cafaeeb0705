"""Benchmarks: each measures ours beside others, interleaved in one run, and reports ratios first."""
