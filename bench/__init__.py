"""Benchmarks of lamina beside its peers; README.md says what each measures."""
