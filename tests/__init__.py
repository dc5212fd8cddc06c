"""Tests of Batchscribe; each has a one-line claim as its docstring."""
