"""Upstream's default values (pkg/apis/*/v1/defaults.go): idempotent functions that complete objects in place."""
