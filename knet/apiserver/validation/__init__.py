"""What upstream's pkg/apis/*/validation refuses, in its words: pure functions from objects to `Errors`.

Types have been checked before (`knet.api.schema`), and defaults have been filled in.
"""
