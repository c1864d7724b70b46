"""Helpers of the meta-analysis notebooks.

Kernels start in ``notebooks/``, so ``from meta_analysis import pooling`` works from a plain clone. Each module is
imported by name; nothing is imported here, so that a notebook loads only what it uses.
"""
