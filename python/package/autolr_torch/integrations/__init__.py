"""Adapters for training frameworks, each a module that imports its framework: `lightning`, `transformers`.

Accelerate needs none: give `Robust` the prepared model and optimizer, and do not prepare the scheduler, which would then
step once a process.
"""
